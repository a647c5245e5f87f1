"""The server's path against the training framework's on 2,000 real texts, the oddest included."""

import csv

import numpy as np
import pytest

from mlops_assets.artifact import TrainedWith
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.serving.models.model import load
from tests.shared_data import real_reviews

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All hard texts, then reviews as people wrote them."""
    with real_reviews("odd_files/hard_texts.csv").open(encoding="utf-8", newline="") as file:
        hard = [value for row in csv.DictReader(file) for value in row.values() if isinstance(value, str) and value]
    written = read_reviews(real_reviews("gojek_reviews.csv")).frame["review_text"].dropna()
    return [*dict.fromkeys(hard), *written][:2_000]


def test_the_served_bert_equals_torch_and_its_answers_do_not_depend_on_company(texts, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from mlops_assets.params.models import BertRecipe
    from mlops_assets.text import normalise
    from mlops_assets.training.bert.compact import build
    from mlops_assets.training.bert.export import Exporter

    assert len(texts) == 2_000
    recipe = BertRecipe(vocabulary_size=2_000, layers=2, hidden=64, heads=2, max_length=128)
    trained_with = TrainedWith("0" * 12, "binary", recipe.digest(), "test")
    exporter = Exporter(build(texts, recipe, LABELS), tmp_path / "model", LABELS, recipe, trained_with, load)
    exporter.write()
    exporter.write_int8(texts[:256])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    expected = []
    with torch.inference_mode():
        for text in texts:
            logits = model(**tokenizer(normalise(text), truncation=True, max_length=128, return_tensors="pt")).logits
            expected.append(torch.softmax(logits, -1)[0].numpy())
    for variant, within in (("fp32", 1e-3), ("int8", 1e-2)):
        exporter.seal(exporter.runtime(variant), metrics={}, golden=())
        served = load(tmp_path / "model")
        answers = served.probabilities(texts)
        assert np.abs(answers - np.array(expected)).max() < within, variant
        alone = np.concatenate([served.probabilities([text]) for text in texts[:300]])
        assert np.abs(answers[:300] - alone).max() < 1e-5, variant
