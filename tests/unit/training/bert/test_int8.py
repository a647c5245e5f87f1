"""Outliers, as pre-trained models have them: a channel that is far larger than the others."""

from typing import Any

import numpy as np

from mlops_assets.training.bert import smoothing


def product(weights: np.ndarray) -> Any:
    """The input `x` (n, 8) times constant weights, of an activation that another node makes."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(model: Any, x: np.ndarray, name: str = "y") -> np.ndarray:
    import onnx
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if name != "y":
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([name], {"x": x})[0])


def test_an_outlying_channel_reaches_as_far_as_the_others_and_the_answers_stay() -> None:
    random = np.random.default_rng(0)
    x, weights = random.random((50, 8), np.float32), random.random((8, 3), np.float32)
    x[:, 2] *= 20
    model = product(weights)
    expected = answers(model, x)

    smoothing.smooth(model, {"a": x.max(axis=0)})

    np.testing.assert_allclose(answers(model, x), expected, rtol=1e-5)
    [multiplied] = smoothing.products(model)
    assert answers(model, x, multiplied.input[0]).max() <= smoothing.REACH * np.median(x.max(axis=0)) * 1.001


def test_activations_without_outliers_stay_as_they_are() -> None:
    model = product(np.ones((8, 3), np.float32))
    before = model.SerializeToString()

    smoothing.smooth(model, {"a": np.array([1, 1, 1, 1, 1, 1, 2, 2.9])})

    assert model.SerializeToString() == before
