"""The locks agree with one another and with pyproject.toml."""

import tomllib

from tests.repository import ROOT

RUNTIME = "onnxruntime"


def locked(role: str) -> dict[str, str]:
    lines = (ROOT / "locks" / f"{role}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_gpu_server_has_the_servers_packages_but_for_the_runtime_and_its_cuda() -> None:
    cpu, gpu = locked("serving"), locked("serving-gpu")
    added = gpu.keys() - cpu.keys()
    assert cpu.keys() - gpu.keys() == {RUNTIME}
    assert {name for name in added if not name.startswith("nvidia-")} == {f"{RUNTIME}-gpu"}
    assert any(name.startswith("nvidia-cudnn-") for name in added)
    assert {name: gpu[name] for name in cpu if name != RUNTIME} == {n: v for n, v in cpu.items() if n != RUNTIME}


def test_the_gpu_server_asks_for_what_the_server_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    gpu = [name.replace(f"{RUNTIME}-gpu[cuda,cudnn]", RUNTIME) for name in extras["serving-gpu"]]
    assert gpu == extras["serving"]
