"""An ONNX Runtime session on the device of the installed build: the CPU, or a GPU without falling back to the CPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.failures import PermanentFailure

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Device = Literal["cpu", "cuda"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class NotOnGpu(PermanentFailure):
    """The build for GPUs is installed, and this model cannot run on one here."""


def open_session(path: Path, variant: str, options: Any) -> tuple["InferenceSession", Device]:
    """The graph at `path` and its device; raises `NotOnGpu` if the build for GPUs would use the CPU."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return onnxruntime.InferenceSession(str(path), options, providers=[CPU]), "cpu"
    if variant != "fp32":
        # Its integer products are kernels of the CPU alone: the session would be CUDA's in name.
        raise NotOnGpu(
            f"the model is {variant}, a GPU takes fp32: set bert.serve: fp32 in params.yaml and run with "
            "FORCE_RETRAIN=1, or use IMAGE_VARIANT=cpu"
        )
    onnxruntime.preload_dlls()  # CUDA's libraries are wheels here, where the loader does not look.
    # TensorFloat-32 would round the products of fp32 to 10 bits; the golden answers are those of fp32.
    provider = (CUDA, {"use_tf32": "0"})
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider, CPU], enable_fallback=0)
    except RuntimeError as error:
        raise NotOnGpu(_unusable(str(error))) from error
    # onnxruntime-gpu 1.31.1 without a driver answers from the CPU, also where fallback is off.
    if session.get_providers()[0] != CUDA:
        raise NotOnGpu(_unusable(f"the session got {', '.join(session.get_providers())}"))
    return session, "cuda"


def _unusable(reason: str) -> str:
    return (
        f"no GPU is visible to ONNX Runtime ({reason}): start the container with --gpus all on a machine whose driver "
        "knows its CUDA, or use IMAGE_VARIANT=cpu"
    )
