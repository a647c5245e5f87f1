"""A trained BERT as a folder: complete, equal to torch, repeatable, and honest about its int8 variant."""

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets import artifact
from mlops_assets.assets.model_page import about_model
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.serving.models.model import load, load_with_golden, prove
from mlops_assets.training.bert import export as bert_export
from mlops_assets.training.bert import int8 as bert_int8
from mlops_assets.training.metrics import Metrics
from mlops_assets.training.trained import Trained
from tests.tiny_bert import tiny_frame, train_tiny

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path, list[str]]:
    root = tmp_path_factory.mktemp("bert")
    said: list[str] = []
    return train_tiny(root / "model", root / "checkpoints", report=said.append), root, said


def test_the_folder_is_sealed_and_holds_no_code(trained: tuple[Trained, Path, list[str]]) -> None:
    result, root, _ = trained
    manifest = artifact.read(root / "model")

    assert set(manifest.files) == {
        "config.json",
        "golden.json",
        "model.int8.onnx",
        "model.onnx",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert artifact.model_version(root / "model") == result.model_version
    assert not (root / "checkpoints" / "checkpoint.safetensors").exists()


def test_what_only_training_reads_may_be_left_out_and_nothing_else(
    trained: tuple[Trained, Path, list[str]], tmp_path: Path
) -> None:
    folder = shutil.copytree(trained[1] / "model", tmp_path / "model")
    manifest = artifact.read(folder)
    served = "model.int8.onnx" if manifest.runtime["variant"] == "int8" else "model.onnx"

    for name in manifest.training_files:
        (folder / name).unlink()

    assert {path.name for path in folder.iterdir()} == {"golden.json", "manifest.json", "tokenizer.json", served}
    prove(load_with_golden(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(artifact.BrokenArtifact, match=r"tokenizer\.json not as sealed"):
        artifact.read(folder)


def test_both_variants_are_made_of_the_operators_that_run_fastest(trained: tuple[Trained, Path, list[str]]) -> None:
    import onnx

    layers = 2

    def operators(name: str) -> Counter[str]:
        return Counter(node.op_type for node in onnx.load(trained[1] / "model" / name).graph.node)

    fp32, int8 = operators("model.onnx"), operators("model.int8.onnx")
    assert fp32["Attention"] == layers
    assert int8["QAttention"] == layers
    assert fp32["LayerNormalization"] == int8["LayerNormalization"] == 2 * layers
    assert int8["Gelu"] == layers
    assert int8["MatMulIntegerToFloat"] == 3 * layers + 2  # pooler and classifier
    assert not (fp32.keys() | int8.keys()) & {"SkipLayerNormalization", "MatMulInteger", "DynamicQuantizeLinear"}


def test_metrics_name_run_data_and_code_and_the_manifest_neither_run_nor_time(
    trained: tuple[Trained, Path, list[str]],
) -> None:
    result, root, _ = trained
    in_manifest = artifact.read(root / "model").metrics

    assert result.metrics["run_id"] == "run"
    assert (result.metrics["dataset_version"], result.metrics["code_version"]) == ("data", "code")
    assert result.metrics.keys() - in_manifest.keys() == {"run_id", "model_version", "training"}
    assert result.metrics["validation"]["accuracy"] > 0.75
    assert [epoch["epoch"] for epoch in result.metrics["epochs"]] == [1, 2, 3]
    assert result.metrics["loss_curve"][-1][0] == 3 * 13


def test_it_is_measured_by_the_rules_of_params_yaml(trained: tuple[Trained, Path, list[str]], tmp_path: Path) -> None:
    narrow = train_tiny(tmp_path / "model", tmp_path / "checkpoints", epochs=1, rules=Evaluation(newest_months=1))

    assert 0 < narrow.metrics["newest"]["n"] < trained[0].metrics["newest"]["n"]


def test_the_same_reviews_and_seed_give_the_same_version(
    trained: tuple[Trained, Path, list[str]], tmp_path: Path
) -> None:
    again = train_tiny(tmp_path / "model", tmp_path / "checkpoints", run_id="another run")

    assert again.model_version == trained[0].model_version


def test_what_serves_answers_its_golden_sentences(trained: tuple[Trained, Path, list[str]]) -> None:
    loaded = load_with_golden(trained[1] / "model")
    prove(loaded)

    changed = dataclasses.replace(
        loaded, golden=tuple(artifact.Golden(g.text, g.probabilities[::-1]) for g in loaded.golden)
    )
    with pytest.raises(PermanentFailure, match="golden sentence"):
        prove(changed)


def test_the_weights_open_in_transformers_and_answer_the_same(trained: tuple[Trained, Path, list[str]]) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    result, root, _ = trained
    model = AutoModelForSequenceClassification.from_pretrained(root / "model", use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(root / "model")
    texts = tiny_frame()["review_text"].tolist()[:20]
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    expected = (logits / result.metrics["temperature"]).softmax(-1).numpy()

    allowed = 0.05 if result.metrics["variant"] == "int8" else 1e-4
    np.testing.assert_allclose(load(root / "model").probabilities(texts), expected, atol=allowed)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.architectures == ["BertForSequenceClassification"]  # other programs choose their class by it


def test_an_export_that_differs_from_torch_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    really = bert_export.one_by_one
    monkeypatch.setattr(bert_export, "one_by_one", lambda *arguments: really(*arguments) + 2 * bert_export.WITHIN)

    with pytest.raises(bert_export.ExportDiffers, match=r"differs from torch by 0.0002"):
        train_tiny(tmp_path / "model", tmp_path / "checkpoints", epochs=1)
    assert not (tmp_path / "model" / artifact.MANIFEST).exists()


def test_int8_that_disagrees_is_marked_and_does_not_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ranges far too wide leave the activations two or three steps: the model is broken, and says so."""
    really = bert_int8.activation_ranges
    monkeypatch.setattr(
        bert_int8,
        "activation_ranges",
        lambda *arguments: {name: (200 * low, 200 * high) for name, (low, high) in really(*arguments).items()},
    )
    said: list[str] = []
    result = train_tiny(tmp_path / "model", tmp_path / "checkpoints", report=said.append)

    assert result.metrics["export"]["int8"]["label_agreement"] < bert_export.LEAST_AGREEMENT
    assert not result.metrics["export"]["int8"]["shippable"]
    assert result.metrics["variant"] == artifact.read(tmp_path / "model").runtime["variant"] == "fp32"
    assert said[-1].endswith("fp32 serves")


def agreement_with(others: int, n: int) -> dict[str, Any]:
    """Of a variant that gives another label to so many of `n` texts."""
    reference = np.tile([0.9, 0.1], (n, 1))
    variant = reference.copy()
    variant[:others] = [0.1, 0.9]
    return bert_export.agreement(variant, reference)


@pytest.mark.parametrize(("others", "n"), [(2, 82), (9, 1000), (15, 2000)])
def test_int8_may_disagree_as_often_as_chance_explains_at_995_of_1000_and_no_more(others: int, n: int) -> None:
    assert agreement_with(others, n)["shippable"]
    refused = agreement_with(others + 1, n)
    assert not refused["shippable"]
    assert (refused["n"], refused["label_agreement"]) == (n, round(1 - (others + 1) / n, 6))
    assert (refused["largest_difference"], refused["mean_difference"]) == (
        0.8,
        pytest.approx(0.8 * (others + 1) / n, abs=1e-6),
    )


def test_int8_is_compared_on_distinct_texts_that_were_not_learned_from_up_to_a_most(
    trained: tuple[Trained, Path, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frame = tiny_frame()
    held_out = frame["review_text"][frame["side"] != "train"]
    learned = frame["review_text"][frame["side"] == "train"].tolist()
    texts = int(held_out.nunique())
    assert trained[0].metrics["export"]["int8"]["n"] == texts

    unlabelled = [*learned[:20], *held_out[:20], *(f"biasa saja nomor {n}" for n in range(30))]
    more = train_tiny(tmp_path / "model", tmp_path / "checkpoints", epochs=1, unlabelled=unlabelled)
    assert more.metrics["export"]["int8"]["n"] == texts + 30
    monkeypatch.setattr(bert_export, "COMPARED_TEXTS", 50)
    few = train_tiny(tmp_path / "few", tmp_path / "checkpoints", epochs=1, unlabelled=unlabelled)
    assert few.metrics["export"]["int8"]["n"] == 50


def test_reviews_without_held_out_sides_train_to_the_last_epoch_and_serve_in_fp32(tmp_path: Path) -> None:
    frame = tiny_frame()
    frame = frame[frame["side"] == "train"]
    metrics = train_tiny(tmp_path / "model", tmp_path / "checkpoints", frame=frame).metrics
    assert [metrics[side] for side in ("validation", "gate", "test", "newest")] == [{"n": 0}] * 4
    assert metrics["best_epoch"] == len(metrics["epochs"])
    assert (metrics["variant"], metrics["export"]["int8"]["n"]) == ("fp32", 0)
    json.dumps(metrics, allow_nan=False)
    page = about_model(Metrics.of(metrics), tmp_path / "model", pd.DataFrame())
    assert "no" in page["export"].value.splitlines()[-1]
