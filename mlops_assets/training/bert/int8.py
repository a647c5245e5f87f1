"""The int8 variant of an exported BERT, whose answer to a text does not depend on the texts beside it.

onnxruntime's dynamic quantisation takes the scale of every activation from the whole batch, so that a text's answer
moves with its neighbours (by up to 0.006 in probability). Here the scales are constants, measured on texts of the train
side. Weights keep to 7 bits: 8 overflow the 16-bit sums of CPUs without VNNI, which would answer otherwise than others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.training.bert.graph import fuse_integer_products
from mlops_assets.training.bert.smoothing import products, smooth

ONNX_INT8 = "model.int8.onnx"

CALIBRATION_TEXTS = 1024
"""With few texts, others exceed the measured ranges and are clipped. A MiniLM agreed with its fp32 on 1,193 of 1,200
fresh texts with 256, and on 1,198 with 563 (2026-11-29)."""


def write_int8(fp32: Path, path: Path, texts: Sequence[list[int]]) -> None:
    """The fp32 model at `fp32` quantised into `path`; `texts` (token ids), from `spread`, give the scales."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(fp32)
    inputs = sorted({node.input[0] for node in products(model)})
    ranges = activation_ranges(model, inputs, texts)
    smooth(model, {name: np.maximum(-low, high) for name, (low, high) in ranges.items()})
    # The quantiser asks on the root logger for a pass over the graph that the export already did.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    quantize_dynamic(
        model,
        path,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    quantised = onnx.load(path)
    dynamic = [node for node in quantised.graph.node if node.op_type == "DynamicQuantizeLinear"]
    ranges = activation_ranges(model, sorted({node.input[0] for node in dynamic}), texts)
    _fix_scales(quantised, {name: (float(low.min()), float(high.max())) for name, (low, high) in ranges.items()})
    fuse_integer_products(quantised)
    onnx.save(quantised, path)


def spread(texts: list[str], most: int = CALIBRATION_TEXTS) -> list[str]:
    """At most `most` of the texts, evenly over their order."""
    return [texts[index] for index in np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int)]


def activation_ranges(
    model: Any, names: Sequence[str], texts: Sequence[list[int]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The least and the greatest value of each channel of each named activation over the texts, one at a time.

    Both are on their side of zero.
    """
    import onnx
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for name in names:
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # single short texts: a second thread only waits
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges = {name: (np.zeros(1), np.zeros(1)) for name in names}
    for ids in texts:
        row = np.array([ids], np.int64)
        answers = session.run(list(names), {"input_ids": row, "attention_mask": np.ones_like(row)})
        for name, answer in zip(names, answers, strict=True):
            values = np.asarray(answer)
            values = values.reshape(-1, values.shape[-1])
            low, high = ranges[name]
            ranges[name] = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    return ranges


def _fix_scales(model: Any, ranges: dict[str, tuple[float, float]]) -> None:
    """Put constants in the place of every scale that the graph would take from its batch."""
    import onnx
    from onnx import numpy_helper

    nodes = []
    for node in model.graph.node:
        if node.op_type != "DynamicQuantizeLinear":
            nodes.append(node)
            continue
        low, high = ranges[node.input[0]]
        scale = max(high - low, 1e-8) / 255
        zero = round(min(255.0, max(0.0, -low / scale)))
        quantised, scale_name, zero_name = node.output
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(np.array(scale, np.float32), scale_name),
                numpy_helper.from_array(np.array(zero, np.uint8), zero_name),
            ]
        )
        nodes.append(
            onnx.helper.make_node("QuantizeLinear", [node.input[0], scale_name, zero_name], [quantised], name=node.name)
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
