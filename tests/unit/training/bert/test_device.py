"""Where a training runs."""

import pytest

from mlops_assets.training.bert.device import DeviceMissing, find_device


def test_a_device_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceMissing, match=r"bert.device is cuda, but torch sees no GPU"):
        find_device("cuda")
    assert find_device("auto").kind == "cpu"


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_bf16_is_taken_where_the_cpu_multiplies_it(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {flag: True})
    assert find_device().bf16
    assert not find_device(precision="fp32").bf16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: False})
    assert not find_device().bf16
    with pytest.raises(DeviceMissing, match=r"bert.precision is bf16, but CPU, \d+ threads has no bf16 instructions"):
        find_device(precision="bf16")
