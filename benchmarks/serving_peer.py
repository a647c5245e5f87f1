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

PACKAGES = ("infinity-emb[server,torch]==0.0.78", "transformers<5", "typer==0.12.5", "click==8.1.8")
SETTINGS = ("--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--log-level", "error")
WAYS = {"fp32": ("--dtype", "float32"), "best": ("--dtype", "bfloat16")}
"""`best` is the fastest of its precisions that answers on a CPU."""


def against(
    models: Mapping[str, Path],
    texts: Sequence[str],
    port: int,
    clients: Sequence[int],
    seconds: float,
    command_of: Callable[[str, Path, int], list[str]],
    python: Path | None = None,
) -> dict[str, Any]:
    """Requests per second of the peer and of ours: fp32 with fp32, and each at its best."""
    with tempfile.TemporaryDirectory() as scratch:
        if python is None:
            python = Path(scratch) / "venv" / "bin" / "python"
            subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=sys.stderr)
        folder = Path(scratch) / "model"
        _for_transformers_4(models["reference"], folder)
        figures: dict[str, Any] = {"settings": " ".join(SETTINGS), **_versions(python)}
        for ours, way in (("fp32", "fp32"), ("int8", "best")):
            theirs = [str(python.with_name("infinity_emb")), "v2", "--model-id", str(folder), "--port", str(port)]
            theirs += ["--served-model-name", "peer", *SETTINGS, *WAYS[way]]
            for count in clients:
                with running(theirs, port):
                    form = {"model": "peer"}
                    asyncio.run(load_with(port, texts, min(count, 4), 1.0, path="/classify", form=form))
                    peer = asyncio.run(load_with(port, texts, count, seconds, path="/classify", form=form))
                with running(command_of(ours, models[ours], port), port):
                    asyncio.run(load_with(port, texts, min(count, 4), 1.0))
                    own = asyncio.run(load_with(port, texts, count, seconds))
                times = round(own["per_s"] / peer["per_s"], 2)
                name = f"{ours} against {' '.join(WAYS[way])}"
                figures.setdefault(name, {})[count] = {"ours": own, "peer": peer, "times_the_peer": times}
    return figures


def _versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
    names = ("infinity-emb", "torch", "transformers")
    return json.loads(subprocess.run([python, "-c", code % (names,)], check=True, capture_output=True).stdout)


def _for_transformers_4(source: Path, folder: Path) -> None:
    """The model as older transformers read it: transformers 5 names a tokenizer class that they do not know."""
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copyfile(source / name, folder / name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
