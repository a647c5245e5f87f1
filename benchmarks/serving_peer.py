"""A serving peer from PyPI, infinity-emb, in a virtual environment that lasts as long as its measurement."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving_load import load_with, running
from benchmarks.serving_models import PADDED_TO
from mlops_assets.serving.models.bert import BertModel
from mlops_assets.serving.models.model import load

PACKAGES = (
    "infinity-emb[server,torch,optimum]==0.0.78",
    "torch==2.13.0",
    "transformers<5",
    "typer==0.12.5",
    "click==8.1.8",
)
SETTINGS = ("--model-id", ".", "--device", "cpu", "--no-bettertransformer", "--log-level", "error")
WAYS = {
    "torch fp32": ("--engine", "torch", "--dtype", "float32"),
    "torch bf16": ("--engine", "torch", "--dtype", "bfloat16"),
    # Fused by onnxruntime's own optimizer already; without warm-up, whose texts are longer than the model's positions.
    "onnxruntime int8": ("--engine", "optimum", "--onnx-disable-optimize", "--no-model-warmup"),
}


def against(
    models: Mapping[str, Path],
    texts: Sequence[str],
    port: int,
    clients: Sequence[int],
    seconds: float,
    command_of: Callable[[str, Path, int], list[str]],
    python: Path | None = None,
) -> dict[str, Any]:
    """Requests per second of the peer in each of its ways and of ours: fp32 with fp32, and each at its best.

    `texts` that the model would truncate are left out: the peer's onnxruntime engine refuses them.
    """
    opened = load(models["int8"])
    assert isinstance(opened, BertModel)
    texts = [text for text, ids in zip(texts, opened.tokenise(texts), strict=True) if len(ids) < PADDED_TO]
    with tempfile.TemporaryDirectory() as scratch:
        if python is None:
            python = Path(scratch) / "venv" / "bin" / "python"
            subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=sys.stderr)
        folder = Path(scratch) / "model"
        _for_transformers_4(models["reference"], folder)
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for count in clients:
            # One after the other within a number of clients: what else the machine does meets all.
            for way, settings in WAYS.items():
                command = [str(python.with_name("infinity_emb")), "v2", "--port", str(port)]
                command += ["--served-model-name", "peer", *SETTINGS, *settings]
                with running(command, port, at=folder):
                    form = {"model": "peer"}
                    asyncio.run(load_with(port, texts, min(count, 4), 1.0, path="/classify", form=form))
                    told = asyncio.run(load_with(port, texts, count, seconds, path="/classify", form=form))
                found.setdefault(way, {})[count] = told
            for ours in ("fp32", "int8"):
                with running(command_of(ours, models[ours], port), port):
                    asyncio.run(load_with(port, texts, min(count, 4), 1.0))
                    found.setdefault(ours, {})[count] = asyncio.run(load_with(port, texts, count, seconds))
        return {
            "settings": " ".join(SETTINGS),
            "ways": {way: " ".join(settings) for way, settings in WAYS.items()},
            **_versions(python),
            "figures": found,
            "times_fp32": {n: round(found["fp32"][n]["per_s"] / found["torch fp32"][n]["per_s"], 2) for n in clients},
            "times_best": {
                n: round(found["int8"][n]["per_s"] / max(found[way][n]["per_s"] for way in WAYS), 2) for n in clients
            },
        }


def _versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
    names = ("infinity-emb", "torch", "transformers", "onnxruntime")
    return json.loads(subprocess.run([python, "-c", code % (names,)], check=True, capture_output=True).stdout)


def _for_transformers_4(source: Path, folder: Path) -> None:
    """The model as older transformers read it, and in int8 as onnxruntime's users quantise: with dynamic scales."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copyfile(source / name, folder / name)
    # transformers 5 names a tokenizer class that they do not know.
    tokenizer = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    quantize_dynamic(
        source / "model.onnx",
        folder / "model_quantized.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": 1},
    )
