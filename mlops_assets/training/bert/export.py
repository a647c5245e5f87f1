"""The trained BERT as a sealed model folder, judged and verified through the very code that will serve it.

model.onnx           what the server runs, attention fused
model.int8.onnx      the same in int8, which the server runs if it agrees with fp32
tokenizer.json       what the server tokenises with
model.safetensors    the same weights, with config.json and tokenizer_config.json in the hub's format, to train on
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mlops_assets import artifact, text
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import BertRecipe, Evaluation
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import int8 as bert_int8
from mlops_assets.training.bert.compact import Base
from mlops_assets.training.bert.graph import split_layer_norms
from mlops_assets.training.bert.state import Progress
from mlops_assets.training.judging import calibration, evaluate, people
from mlops_assets.training.trained import GOLDEN_SENTENCES

ONNX = "model.onnx"
WEIGHTS = "model.safetensors"

VARIANTS = ("fp32", "int8")

VERIFIED_TEXTS = 300
LEAST_AGREEMENT = 0.995
"""Share of the texts on which a variant should give fp32's label."""
BY_CHANCE = 0.05
"""A variant is refused if one that agrees on `LEAST_AGREEMENT` of all texts would do so badly with a smaller chance."""
COMPARED_TEXTS = 2000
"""At most so many distinct texts are compared. Their labels are not needed, so all sides but the train side serve."""
WITHIN = 1e-4
"""How far a probability of the exported model may be from torch's."""


class ExportDiffers(PermanentFailure):
    """The exported model does not answer like the trained model."""


class Scorer(Protocol):
    """An opened model folder."""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray: ...


Load = Callable[[Path], Scorer]


@dataclass(frozen=True)
class Exporter:
    """Writes one trained model into one folder and measures what it wrote."""

    base: Base
    folder: Path
    labels: Sequence[str]
    recipe: BertRecipe
    trained_with: TrainedWith
    load: Load

    def write(self) -> None:
        """The files of the model; the folder is no sealed model yet."""
        from safetensors.torch import save_file
        from transformers import PreTrainedTokenizerFast

        self.folder.mkdir(parents=True, exist_ok=True)
        tokenizer = self.base.tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.recipe.max_length)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=self.recipe.max_length,
            **{f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")},
        ).save_pretrained(self.folder)
        self.base.model.config.architectures = [type(self.base.model).__name__]  # so that a pipeline opens the folder
        self.base.model.config.save_pretrained(self.folder)
        weights = {name: value.contiguous() for name, value in self.base.model.state_dict().items()}
        save_file(weights, self.folder / WEIGHTS, metadata={"format": "pt"})
        (self.folder / WEIGHTS).chmod(0o644)  # safetensors leaves a file that only its writer may read
        write_onnx(self.base.model, self.folder / ONNX)

    def write_int8(self, train_texts: list[str]) -> None:
        """The int8 variant beside the fp32 one."""
        ids = bert_data.encode(self.base.tokenizer, bert_int8.spread(train_texts), self.recipe.max_length)
        bert_int8.write_int8(self.folder / ONNX, self.folder / bert_int8.ONNX_INT8, ids)

    def answers(self, variant: str, texts: Sequence[str]) -> np.ndarray:
        """What the server would answer with a variant, not calibrated, before there are figures to seal it with."""
        self.seal(self.runtime(variant), metrics={}, golden=())
        given = self.load(self.folder).probabilities(texts)
        (self.folder / artifact.MANIFEST).unlink()  # whoever is killed here leaves no half-judged model
        return given

    def seal(self, runtime: Mapping[str, Any], *, metrics: Mapping[str, Any], golden: Sequence[Golden]) -> str:
        served = {"tokenizer.json", ONNX if runtime["variant"] == "fp32" else bert_int8.ONNX_INT8, artifact.GOLDEN}
        names = {path.name for path in self.folder.iterdir()} - {artifact.MANIFEST}
        return artifact.seal(
            self.folder,
            kind="bert",
            labels=self.labels,
            text_version=text.TEXT_VERSION,
            trained_with=self.trained_with,
            metrics=metrics,
            golden=golden,
            runtime=runtime,
            training_files=sorted(names - served),
        )

    def runtime(self, variant: str, temperature: float = 1.0) -> dict[str, Any]:
        """What the server must know beside the files."""
        return {"variant": variant, "temperature": temperature, "max_length": self.recipe.max_length}


def export(  # noqa: PLR0913 - the whole outcome of a training goes in
    base: Base,
    folder: Path,
    frame: pd.DataFrame,
    labels: Sequence[str],
    *,
    progress: Progress,
    recipe: BertRecipe,
    trained_with: TrainedWith,
    report: Callable[[str], None],
    load: Load,
    rules: Evaluation | None = None,
    more: Mapping[str, Any] | None = None,
    unlabelled: Sequence[str] = (),
) -> dict[str, Any]:
    """Write, measure, verify and seal; returns the metrics that the manifest holds, `more` among them.

    int8 is compared with fp32 on held-out texts, and on `unlabelled` ones if those are few.
    """
    exporter = Exporter(base, folder, labels, recipe, trained_with, load)
    exporter.write()
    exporter.write_int8(frame["review_text"][frame["side"] == "train"].tolist())
    held_out = frame[frame["side"].isin(evaluate.HELD_OUT)]
    compared = _to_compare(frame, held_out["review_text"], unlabelled)
    texts = [*GOLDEN_SENTENCES, *held_out["review_text"], *compared]
    answers = {variant: exporter.answers(variant, texts) for variant in VARIANTS}

    verified = len(GOLDEN_SENTENCES) + VERIFIED_TEXTS
    expected = one_by_one(base, texts[:verified], recipe.max_length)
    difference = float(np.abs(answers["fp32"][:verified] - expected).max())
    if difference > WITHIN:
        raise ExportDiffers(
            f"{ONNX} differs from torch by {difference:.2g} in probability on {len(expected)} texts, {WITHIN:g} is "
            "allowed: keep the versions of torch, onnx and onnxruntime that the locks name"
        )
    report(f"{ONNX} equals torch within {difference:.1g} on {len(expected)} texts")

    on_validation = (held_out["side"] == "validation").to_numpy()
    first, end = len(GOLDEN_SENTENCES), len(GOLDEN_SENTENCES) + len(held_out)
    held = {variant: given[first:end] for variant, given in answers.items()}
    int8 = agreement(answers["int8"][end:], answers["fp32"][end:])
    variant = "int8" if recipe.serve == "int8" and int8["shippable"] else "fp32"
    agreed = f"{int8['label_agreement']:.2%} of {int8['n']} texts" if int8["n"] else "no text, for lack of any to ask"
    report(f"int8 agrees with fp32 on {agreed}: {variant} serves")
    truth = evaluate.indices(held_out["label"], labels)
    temperature = calibration.fit_temperature(held[variant][on_validation], truth[on_validation])
    calibrated = calibration.apply_temperature(held[variant], temperature)
    metrics = {
        "model": "bert",
        "base_model": base.source,
        "base_licence": base.licence,
        "dataset_version": trained_with.dataset_version,
        "code_version": trained_with.code,
        **evaluate.judged(held_out, calibrated, labels, rules),
        "people": people.score_by_people(held_out, calibrated, labels, rules),
        "data": evaluate.data_figures(frame),
        "parameters": sum(p.numel() for p in base.model.parameters()),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "loss_curve": progress.curve,
        "temperature": temperature,
        "variant": variant,
        "export": {
            "fp32": {"n": len(expected), "largest_difference_from_torch": float(f"{difference:.1e}")},
            "int8": int8,
        },
        **(more or {}),
    }
    golden = [
        Golden(sentence, tuple(round(float(p), 6) for p in given))
        for sentence, given in zip(
            GOLDEN_SENTENCES, calibration.apply_temperature(answers[variant], temperature), strict=False
        )
    ]
    exporter.seal(exporter.runtime(variant, temperature), metrics=metrics, golden=golden)
    again = load(folder).probabilities([g.text for g in golden])
    if (moved := float(np.abs(again - np.array([g.probabilities for g in golden])).max())) > WITHIN:
        raise ExportDiffers(f"the sealed model's golden answers moved by {moved:.2g}: train the model again")
    return metrics


def _to_compare(frame: pd.DataFrame, held_out: pd.Series, unlabelled: Sequence[str]) -> list[str]:
    """Distinct texts of which the model learned no label and int8 no scale, the newest held-out ones first."""
    learned = {text.text_digest(each) for each in frame["review_text"][frame["side"] == "train"].unique()}
    found: dict[str, str] = {}
    for each in dict.fromkeys([*held_out[::-1], *unlabelled]):
        if len(found) == COMPARED_TEXTS:
            break
        if (digest := text.text_digest(each)) not in learned:
            found.setdefault(digest, each)
    return list(found.values())


def agreement(variant: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """How far a variant's probabilities (n, labels) are from the reference's, and whether it may serve.

    It may unless it agrees too rarely beyond chance. Every figure is measured with what serves, so the gate still
    judges what a disagreement costs.
    """
    from scipy.stats import binom

    if not len(variant):
        unknown = dict.fromkeys(("label_agreement", "largest_difference", "mean_difference"))
        return {"n": 0, **unknown, "shippable": False}
    moved = np.abs(variant - reference).max(axis=1)
    others = int((variant.argmax(axis=1) != reference.argmax(axis=1)).sum())
    return {
        "n": len(moved),
        "label_agreement": round(1 - others / len(moved), 6),
        "largest_difference": round(float(moved.max()), 6),
        "mean_difference": round(float(moved.mean()), 6),
        "shippable": bool(binom.sf(others - 1, len(moved), 1 - LEAST_AGREEMENT) >= BY_CHANCE),
    }


def one_by_one(base: Base, texts: Sequence[str], max_length: int) -> np.ndarray:
    """Probabilities (n, labels) by transformers' own forward pass, one text at a time, no padding, fp32."""
    import torch

    base.model.eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                base.model(input_ids=torch.tensor([ids])).logits.softmax(-1).numpy()
                for ids in bert_data.encode(base.tokenizer, texts, max_length)
            ]
        )


def write_onnx(model: Any, path: Path) -> None:
    """The model as ONNX with fused attention: input_ids and attention_mask (n, tokens) int64 to logits (n, labels)."""
    import torch
    from onnxruntime.transformers.optimizer import optimize_model

    class LogitsOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    before = model.config._attn_implementation
    raw = path.with_name("unfused.onnx")
    ids = torch.tensor([[2, 3, 4, 0], [2, 3, 4, 5]])
    # Only this exporter over eager attention leaves a graph whose attention onnxruntime can fuse.
    model.set_attn_implementation("eager")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own notes on its age and on constants that it folds
            torch.onnx.export(
                LogitsOnly().eval(),
                (ids, (ids != 0).long()),
                str(raw),
                dynamo=False,
                opset_version=17,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_axes={
                    "input_ids": {0: "n", 1: "tokens"},
                    "attention_mask": {0: "n", 1: "tokens"},
                    "logits": {0: "n"},
                },
            )
            fused = optimize_model(
                str(raw),
                model_type="bert",
                num_heads=model.config.num_attention_heads,
                hidden_size=model.config.hidden_size,
                opt_level=0,
            )
    finally:
        model.set_attn_implementation(before)
        raw.unlink(missing_ok=True)
    split_layer_norms(fused.model)
    fused.save_model_to_file(str(path))
