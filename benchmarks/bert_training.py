"""How fast the BERT training is, against a plain loop and against transformers' own trainer, and what that costs.

python -m benchmarks.bert_training [--reviews FILE] [--rounds N] [--only NAME …] [--quick]

All speeds are reviews per second of base-size models with random weights on real texts, measured in turns in one run:
a ratio is the median over the rounds of the ratio within a round, so that a busy machine moves both sides alike. Ratios
of the CPU time of all cores stand beside those of the clock: they say what a quiet machine would show.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bert_accuracy import NAMES, against_classic, price
from mlops_assets.settings import wait_passively
from mlops_assets.training.bert import compact, packing
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import train as bert
from mlops_assets.training.bert.device import Device, find_device
from mlops_assets.training.judging import evaluate

PINTU = Path(__file__).parents[2] / "shared" / "data" / "pintu_reviews.csv"
MEASURES = ("speed", "trainer", "price", "against_classic")
MAX_LENGTH = 128
VOCABULARY = 50_000
"""Rows of the embedding, as in indobenchmark/indobert-base-p1."""

Step = Callable[[list[list[int]], np.ndarray], None]
"""One optimizer step on a batch of texts as token ids, and their labels."""


def texts_of(path: Path) -> tuple[bert_data.Ids, np.ndarray, int]:
    """Token ids of all labelled reviews of a file, their labels, and the id that hides a token."""
    from benchmarks.classic import labelled

    frame = labelled(path)
    tokenizer = compact.train_vocabulary(frame["review_text"].tolist(), 30_000)
    ids = bert_data.encode(tokenizer, frame["review_text"], MAX_LENGTH)
    return ids, evaluate.indices(frame["label"], NAMES), bert_data.mask_id(tokenizer)


def base_size(layers: int = 12) -> Any:
    """A BERT of base size with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(vocab_size=VOCABULARY, num_hidden_layers=layers, attention_probs_dropout_prob=0.1)
    )


def plain(device: Device, layers: int = 12) -> Step:
    """The usual loop: fp32, every text padded to 128, AdamW as it comes."""
    import torch

    model = base_size(layers).to(device.kind).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5)

    def step(ids: list[list[int]], labels: np.ndarray) -> None:
        padded = np.zeros((len(ids), MAX_LENGTH), np.int64)
        for row, text in enumerate(ids):
            padded[row, : len(text)] = text
        tokens = torch.from_numpy(padded).to(device.kind)
        optimizer.zero_grad()
        out = model(
            input_ids=tokens, attention_mask=(tokens != 0).long(), labels=torch.from_numpy(labels).to(device.kind)
        )
        out.loss.backward()
        optimizer.step()

    return step


def packed(device: Device, known: bert_data.Ids, layers: int = 12) -> Step:
    """The project's step, as `training.bert.fit` takes it, the embedding cut to the tokens of `known`."""
    import torch
    from torch.nn.functional import cross_entropy

    model = base_size(layers)
    model.config.attention_probs_dropout_prob = 0.0
    cut = bert_data.CutEmbedding(model, [known])
    model.to(device.kind).train()
    optimizer = torch.optim.AdamW(bert.groups(model, 0.01), lr=3e-5, fused=True)

    def step(ids: list[list[int]], labels: np.ndarray) -> None:
        batch = packing.pack(cut.narrow(bert_data.Ids.of(ids)), MAX_LENGTH, one_row=device.varlen).to(device.kind)
        with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
            logits = packing.logits(model, batch, varlen=device.varlen)
            loss = cross_entropy(logits.float(), torch.from_numpy(labels).to(device.kind))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


@dataclass(frozen=True)
class Rate:
    """Reviews per second by the clock, and per second of CPU time over all cores."""

    clock: float
    cpu: float


def rate(step: Step, ids: list[list[int]], labels: np.ndarray, batch: int) -> Rate:
    """Over the texts in batches; the clock waits for the device."""
    import torch

    started, started_cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(ids), batch):
        step(ids[start : start + batch], labels[start : start + batch])
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Rate(len(ids) / (time.perf_counter() - started), len(ids) / (time.process_time() - started_cpu))


def speed(path: Path, rounds: int = 5, layers: int = 12, reviews: int = 64) -> dict[str, Any]:
    """Reviews per second against the plain loop: batch 32 and 8 in the device's best precision and in fp32."""
    ids, labels, _ = texts_of(path)
    order = bert_data.order_of(len(ids), 0, 0)
    device, single = find_device(), find_device(precision="fp32")
    ways: dict[str, tuple[Step, int]] = {"plain fp32, padded to 128, batch 8": (plain(single, layers), 8)}
    for precision in (device, single) if device.bf16 else (single,):
        step = packed(precision, ids, layers)
        ways |= {f"packed {'bf16' if precision.bf16 else 'fp32'}, batch {batch}": (step, batch) for batch in (32, 8)}
    reference = next(iter(ways))
    figures: dict[str, list[Rate]] = {name: [] for name in ways}
    shares: dict[str, list[float]] = {name: [] for name in ways if name != reference}
    tokens = float(np.mean([len(text) for text in ids]))
    for turn in range(rounds + 1):
        chosen = order[turn * reviews : (turn + 1) * reviews]
        for name, (step, batch) in ways.items():
            # Padded to 128 every text costs the same, so half of them are enough to time it.
            some = chosen[: reviews // 2] if name == reference else chosen
            measured = rate(step, [ids[index] for index in some], labels[some], batch)
            if turn:  # the first round warms up
                figures[name].append(measured)
            if turn and name in shares:
                possible = matmul_flops(device, bf16="bf16" in name)
                shares[name].append(measured.clock * flops_a_review(tokens, layers) / possible)
    return {
        "device": str(device),
        "bf16": "used" if device.bf16 else "not used: this device has no bf16 instructions",
        "layers": layers,
        "rounds": rounds,
        "mean_tokens": round(tokens, 1),
        "ways": {name: _against(figures[name], figures[reference]) for name in ways},
        "share_of_matmul_peak": {name: round(statistics.median(values), 3) for name, values in shares.items()},
    }


def matmul_flops(device: Device, *, bf16: bool) -> float:
    """The best rate of a matrix product of the model's own shape that this machine shows, in operations a second."""
    import torch

    dtype = torch.bfloat16 if bf16 else torch.float32
    left = torch.randn(1024, 768, dtype=dtype, device=device.kind)
    right = torch.randn(768, 3072, dtype=dtype, device=device.kind)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(3):
            torch.mm(left, right)
        if device.kind == "cuda":
            torch.cuda.synchronize()
        best = max(best, 3 * 2 * 1024 * 768 * 3072 / (time.perf_counter() - started))
    return best


def flops_a_review(tokens: float, layers: int) -> float:
    """Operations in matrix products that a packed step does for a review: forward once, backward twice.

    The last layer makes keys and values for every token and the rest for one token alone. Attention is not counted.
    """
    return 3 * 2 * tokens * 768**2 * (12 * (layers - 1) + 2)


def against_trainer(path: Path, rounds: int = 5, layers: int = 12, reviews: int = 32) -> dict[str, Any]:
    """Reviews per second at batch 32 against transformers.Trainer with its default collator (pads to the longest)."""
    ids, labels, _ = texts_of(path)
    order, device = bert_data.order_of(len(ids), 1, 0), find_device()
    ours = packed(device, ids, layers)
    trainer = _trainer(layers, device)
    figures: dict[str, list[Rate]] = {"trainer": [], "packed": []}
    for turn in range(rounds + 1):
        chosen = order[turn * reviews : (turn + 1) * reviews]
        texts = [ids[index] for index in chosen]
        theirs = trainer(texts, labels[chosen])
        own = rate(ours, texts, labels[chosen], 32)
        if turn:
            figures["trainer"].append(theirs)
            figures["packed"].append(own)
    return {name: _against(values, figures["trainer"]) for name, values in figures.items()}


def _trainer(layers: int, device: Device) -> Callable[[list[list[int]], np.ndarray], Rate]:
    """A function that trains on the texts with transformers.Trainer and returns its rate, without its own start."""
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer, TrainingArguments

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=compact.train_vocabulary(["satu dua"], 200),
        pad_token="[PAD]",  # noqa: S106 - no password
    )
    model = base_size(layers)

    def train(ids: list[list[int]], labels: np.ndarray) -> Rate:
        rows = [{"input_ids": text, "labels": int(label)} for text, label in zip(ids, labels, strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=32,
                num_train_epochs=1,
                bf16=device.bf16,
                use_cpu=device.kind == "cpu",
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=rows,  # pyright: ignore[reportArgumentType]  # any sequence of mappings does
                data_collator=DataCollatorWithPadding(tokenizer),
            )
            started = time.process_time()
            runtime_s = trainer.train().metrics["train_runtime"]
            return Rate(len(ids) / runtime_s, len(ids) / (time.process_time() - started))

    return train


def _against(values: list[Rate], reference: list[Rate]) -> dict[str, float]:
    ratios = [value.clock / other.clock for value, other in zip(values, reference, strict=True)]
    by_cpu = [value.cpu / other.cpu for value, other in zip(values, reference, strict=True)]
    return {
        "reviews_per_second": round(statistics.median(value.clock for value in values), 2),
        "ratio": round(statistics.median(ratios), 2),
        "least_ratio": round(min(ratios), 2),
        "most_ratio": round(max(ratios), 2),
        "cpu_time_ratio": round(statistics.median(by_cpu), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=Path, default=PINTU, help="a file of reviews (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES[:3])
    parser.add_argument("--quick", action="store_true", help="speed alone, two layers, two rounds")
    chosen = parser.parse_args()
    wait_passively()
    if chosen.quick:
        print(json.dumps({"speed": speed(chosen.reviews, rounds=2, layers=2, reviews=32)}, indent=1))
        return
    measures: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(chosen.reviews, chosen.rounds),
        "trainer": lambda: against_trainer(chosen.reviews, chosen.rounds),
        "price": lambda: price(chosen.reviews),
        "against_classic": lambda: against_classic(chosen.reviews),
    }
    for name in chosen.only:
        print(json.dumps({name: measures[name]()}, indent=1), flush=True)


if __name__ == "__main__":
    main()
