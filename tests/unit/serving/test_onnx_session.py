"""Where ONNX Runtime computes: the build decides, and one for GPUs never answers from the CPU."""

# ruff: noqa: ARG002 - a stand-in takes what the real one takes

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.models.onnx_session import CPU, CUDA, NotOnGpu, open_session

GPU_BUILD = ["TensorrtExecutionProvider", CUDA, CPU]
GRAPH = Path("model.onnx")


class FakeRuntime:
    """`onnxruntime` as far as it is asked: `gives` is what a session gets, or how it fails."""

    def __init__(self, available: list[str], gives: list[str] | Exception) -> None:
        self._available, self._gives = available, gives
        self.preloaded = False
        self.asked: dict[str, Any] = {}

    def get_available_providers(self) -> list[str]:
        return self._available

    def preload_dlls(self) -> None:
        self.preloaded = True

    def InferenceSession(self, path: str, options: object, **asked: Any) -> SimpleNamespace:  # noqa: N802  # its name
        if isinstance(self._gives, Exception):
            raise self._gives
        self.asked = asked
        given = self._gives
        return SimpleNamespace(get_providers=lambda: given)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    def install(available: list[str], gives: list[str] | Exception) -> FakeRuntime:
        runtime = FakeRuntime(available, gives)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        return runtime

    return install


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_build_for_cpus_computes_there_and_loads_nothing_of_cuda(installed, variant: str) -> None:
    runtime = installed([CPU], [CPU])
    assert open_session(GRAPH, variant, None)[1] == "cpu"
    assert not runtime.preloaded
    assert runtime.asked == {"providers": [CPU]}


def test_the_build_for_gpus_computes_there_in_fp32_without_fallback(installed) -> None:
    runtime = installed(GPU_BUILD, [CUDA, CPU])
    assert open_session(GRAPH, "fp32", None)[1] == "cuda"
    assert runtime.preloaded
    assert runtime.asked == {"providers": [(CUDA, {"use_tf32": "0"}), CPU], "enable_fallback": 0}


@pytest.mark.parametrize("gives", [[CPU], RuntimeError("CUDA failure 100: no CUDA-capable device is detected")])
def test_a_session_that_would_not_run_on_a_gpu_is_refused(installed, gives: list[str] | Exception) -> None:
    installed(GPU_BUILD, gives)
    with pytest.raises(NotOnGpu, match=r"no GPU is visible .*start the container with --gpus all.*IMAGE_VARIANT=cpu"):
        open_session(GRAPH, "fp32", None)
    assert issubclass(NotOnGpu, PermanentFailure)


def test_int8_is_refused_on_a_gpu_before_anything_is_opened(installed) -> None:
    runtime = installed(GPU_BUILD, [CUDA, CPU])
    with pytest.raises(NotOnGpu, match=r"the model is int8, a GPU takes fp32: set bert.serve: fp32"):
        open_session(GRAPH, "int8", None)
    assert not runtime.asked
