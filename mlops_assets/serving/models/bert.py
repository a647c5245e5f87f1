"""A BERT model folder run by ONNX Runtime and tokenizers, in batches of texts of similar length."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.artifact import BrokenArtifact, Manifest
from mlops_assets.serving.models.onnx_session import open_session
from mlops_assets.serving.models.waiting import wasteful
from mlops_assets.text import normalise

FILES: Mapping[str, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx"}

BATCH_TOKENS = 2048
"""Tokens in one run: enough to keep two cores busy, few enough to stay in the cache."""
_ENCODED_TOGETHER = 64
_SPIN_US = "20"


class BertModel:
    """Implements `serving.model.Model` for the kind `bert`."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int = 0) -> None:
        """Open the variant that the manifest names; `threads` 0 takes all cores."""
        import onnxruntime
        from tokenizers import Tokenizer

        self.manifest = manifest
        self.labels = manifest.labels
        runtime = manifest.runtime
        variant = str(runtime.get("variant"))
        if variant not in FILES:
            raise BrokenArtifact(f"{folder}: variant {variant!r} is none of {', '.join(FILES)}: train the model again")
        self._temperature = float(runtime["temperature"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(runtime["max_length"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # A thread that spins for long starves the other batch, the event loop and the machine's other processes: on two
        # busy cores single texts went at a fifth of the rate of threads that sleep. One that sleeps at once wakes up
        # too late for the next operator: single texts took a half longer. One batch alone uses all threads, two at
        # once have one each.
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
        options.add_session_config_entry("optimization.disable_specified_optimizers", "SkipLayerNormFusion")
        self._session, self.device = open_session(folder / FILES[variant], variant, options)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (n, labels) in the order of the texts; a text's answer does not depend on its neighbours."""
        return self.of_tokens(self.tokenise(texts))

    def of_tokens(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """The probabilities of tokenised texts."""
        answers = np.zeros((len(ids), len(self.labels)))
        for batch in batches([len(text) for text in ids]):
            answers[batch] = self._run([ids[index] for index in batch])
        return answers

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of the normalised texts."""
        # In portions: what the tokenizer keeps of texts beyond `max_length` is freed while the interpreter is held, and
        # of a thousand long texts it is hundreds of megabytes and a tenth of a second.
        ids: list[list[int]] = []
        for start in range(0, len(texts), _ENCODED_TOGETHER):
            portion = [normalise(text) for text in texts[start : start + _ENCODED_TOGETHER]]
            ids += [item.ids for item in self._tokenizer.encode_batch_fast(portion)]
        return ids

    def _run(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        width = max(len(text) for text in ids)
        input_ids = np.zeros((len(ids), width), np.int64)
        mask = np.zeros_like(input_ids)
        for row, text in enumerate(ids):
            input_ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        (logits,) = self._session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})
        return softmax(np.asarray(logits, np.float64) / self._temperature)


def batches(lengths: Sequence[int], most_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, each within `most_tokens` and not `wasteful`."""
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        width = lengths[batch[0]] if batch else lengths[index]
        area = width * (len(batch) + 1)
        if batch and (area > most_tokens or wasteful(area, tokens + lengths[index])):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def load(folder: Path, manifest: Manifest, **options: Any) -> BertModel:
    """The opened model; see `BertModel`."""
    return BertModel(folder, manifest, **options)
