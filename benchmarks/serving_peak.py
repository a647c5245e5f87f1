"""What matrix products reach on this machine, and which share of it scoring does."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets import artifact
from mlops_assets.serving.models.bert import BertModel

_LAYERS, _HIDDEN = 12, 768
_ROWS = 2_048


@cache
def peak(variant: str) -> float:
    """Operations per second of the best of several large products: torch in fp32, onnxruntime in int8."""
    return _fp32() if variant == "fp32" else _int8()


def share(folder: Path, texts: Sequence[str], seconds: float, variant: str) -> float:
    """The operations that the tokens of `texts` need, padding not counted, against what was possible in `seconds`."""
    lengths = np.array([len(ids) for ids in BertModel(folder, artifact.read(folder)).tokenise(texts)], float)
    # A layer: query, key, value and output, the two of the feed-forward, then scores and their sums.
    per_token = 2 * (4 * _HIDDEN**2 + 8 * _HIDDEN**2)
    needed = _LAYERS * float((per_token * lengths + 4 * _HIDDEN * lengths**2).sum())
    return round(needed / seconds / peak(variant), 3)


def _best(run: Callable[[], object], operations: float, rounds: int = 8) -> float:
    run()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return operations / min(times)


def _fp32() -> float:
    import torch

    left, right = torch.rand(_ROWS, _ROWS), torch.rand(_ROWS, _ROWS)
    return _best(lambda: left @ right, 2 * _ROWS**3)


def _int8() -> float:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).integers(-100, 100, (_HIDDEN, 4 * _HIDDEN), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [_ROWS, _HIDDEN])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [_ROWS, 4 * _HIDDEN])],
        [numpy_helper.from_array(weights, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session: Any = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    left = np.random.default_rng(1).integers(0, 200, (_ROWS, _HIDDEN), np.uint8)
    return _best(lambda: session.run(["c"], {"a": left}), 2 * _ROWS * _HIDDEN * 4 * _HIDDEN)
