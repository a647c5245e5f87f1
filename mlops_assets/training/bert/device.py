"""The device that a model trains on and its precision: detected, or as the recipe says."""

from dataclasses import dataclass
from typing import Literal

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import DeviceName, PrecisionName


class DeviceMissing(PermanentFailure):
    """The recipe asks for a device or a precision that this machine lacks."""


@dataclass(frozen=True)
class Device:
    """`kind` is torch's name; `varlen`: attention takes the texts as one row with boundaries, without a mask."""

    kind: Literal["cpu", "cuda"]
    bf16: bool
    varlen: bool
    name: str

    def __str__(self) -> str:
        return f"{self.name}, {'bf16' if self.bf16 else 'fp32'}"


def find_device(wanted: DeviceName = "auto", precision: PrecisionName = "auto") -> Device:
    """The device to train on. bf16 is taken if the hardware multiplies it: emulated, it is slower than fp32."""
    import torch

    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise DeviceMissing(
            "bert.device is cuda, but torch sees no GPU: set it to auto or cpu, or install a CUDA torch"
        )
    if wanted == "cuda" or (wanted == "auto" and has_gpu):
        native = torch.cuda.get_device_capability() >= (8, 0)  # Ampere: the first with bf16 tensor cores
        bf16 = _wants_bf16(precision, native=native, where=torch.cuda.get_device_name())
        return Device(kind="cuda", bf16=bf16, varlen=bf16, name=torch.cuda.get_device_name())
    name = f"CPU, {torch.get_num_threads()} threads"
    return Device(kind="cpu", bf16=_wants_bf16(precision, native=cpu_has_bf16(), where=name), varlen=False, name=name)


def cpu_has_bf16() -> bool:
    """Whether this CPU has instructions that multiply bf16 (AVX-512 BF16, AMX, or Arm's)."""
    import torch

    has = torch.cpu.get_capabilities()
    return any(bool(has.get(name)) for name in ("avx512_bf16", "amx_bf16", "avx10_2", "arm_bf16", "bf16"))


def _wants_bf16(precision: PrecisionName, *, native: bool, where: str) -> bool:
    if precision == "bf16" and not native:
        raise DeviceMissing(f"bert.precision is bf16, but {where} has no bf16 instructions: set it to auto or fp32")
    return native and precision != "fp32"
