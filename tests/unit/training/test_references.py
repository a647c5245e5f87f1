"""Models that learn from reference apps too: what is learned, what it weighs, and what the metrics say of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.artifact import TrainedWith
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.serving.models.classic import ClassicModel
from mlops_assets.serving.models.model import load
from mlops_assets.training.classic.train import train_classic
from mlops_assets.training.judging.reference_weight import weighed
from mlops_assets.training.references import References
from tests.unit.training.invented import invented

pytestmark = pytest.mark.slow

NAMES = ("negative", "positive")
SMALL = ClassicRecipe(trees=10, max_leaf_nodes=10, strengths=(2.0,))
WITH = TrainedWith("d" * 12, "binary", SMALL.digest(), "c" * 12)


def reviews_of(texts: dict[str, str], times: int = 60) -> pd.DataFrame:
    """Reviews of another app, each text `times` times."""
    rows = [(text, label, "other.app") for text, label in texts.items() for _ in range(times)]
    return pd.DataFrame(rows, columns=["review_text", "label", "app_id"])


def classic(folder: Path, references: References | None, frame: pd.DataFrame | None = None):
    return train_classic(
        invented(300) if frame is None else frame,
        SMALL,
        folder,
        trained_with=WITH,
        run_id="run",
        report=lambda _: None,
        load=ClassicModel.load,
        references=references,
    )


def positive(folder: Path, text: str) -> float:
    return float(load(folder).probabilities([text])[0, 1])


UNKNOWN = {"indah sekali": "positive", "buruk sekali": "negative"}


def test_the_classic_model_knows_words_that_only_references_have(tmp_path):
    trained = classic(tmp_path / "model", References(reviews_of(UNKNOWN), 3))

    assert positive(tmp_path / "model", "indah") > 0.6
    assert positive(tmp_path / "model", "buruk") < 0.4
    own = invented(300)
    assert trained.metrics["data"]["rows"] == len(own)
    assert trained.metrics["data"]["apps"] == ["app.one", "app.two"]
    assert {side: trained.metrics[side]["reviews"] for side in ("gate", "test")} == {
        side: int((own["side"] == side).sum()) for side in ("gate", "test")
    }


def test_the_metrics_say_what_the_references_bring_on_distinct_texts(tmp_path):
    own = invented(300)
    told = classic(tmp_path / "model", References(reviews_of(UNKNOWN), 3, {"chosen_by": "hand"})).metrics["references"]

    assert told["apps"] == {"other.app": 120}
    assert (told["reviews"], told["own_weight"], told["chosen_by"]) == (120, 3, "hand")
    assert told["brings"]["n"] == own["review_text"][own["side"].isin(["gate", "test"])].nunique()
    assert told["brings"]["low"] <= told["brings"]["points"] <= told["brings"]["high"]
    assert f"n={told['brings']['n']}" in told["said"]


def test_references_that_were_left_out_teach_nothing_and_are_on_record(tmp_path):
    left_out = References(reviews_of(UNKNOWN).iloc[:0], 3, {"chosen_by": "by cross-validation"})
    told = classic(tmp_path / "without", left_out)
    classic(tmp_path / "never", None)

    assert told.metrics["references"]["brings"] is None
    assert told.metrics["references"]["said"] == "The reference apps are left out, by cross-validation."
    for name in ("weights.npz", "vocabulary.json"):
        assert (tmp_path / "without" / name).read_bytes() == (tmp_path / "never" / name).read_bytes()


@pytest.mark.parametrize("own_weight", [1, 20])
def test_an_own_review_counts_as_often_as_its_weight_says(own_weight, tmp_path):
    """Own reviews call `netral` positive, five times as many references negative."""
    own = invented(300)
    known = own.head(8).assign(review_text="netral", label="positive", side="train")
    references = References(reviews_of({"netral": "negative"}, times=40), own_weight)
    classic(tmp_path / "model", references, pd.concat([own, known]))

    assert (positive(tmp_path / "model", "netral") > 0.5) == (own_weight == 20)


def own_and_others(*, flipped: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    own, others = invented(500, seed=1), invented(1500, seed=2)
    if flipped:
        others = others.assign(label=np.where(others["label"] == "positive", "negative", "positive"))
    return own, others


def test_references_that_contradict_the_own_reviews_are_left_out():
    own, others = own_and_others(flipped=True)
    found = weighed(own, others, NAMES, 3, 0.95)

    assert not found
    assert next(each for each in found.chosen["tried"] if each["own_weight"] is None)["low"] > 0
    assert "than with own reviews counting 3" in found.chosen["chosen_by"]


def test_the_weight_stays_as_configured_where_none_is_better_beyond_noise():
    own, others = own_and_others(flipped=False)
    found = weighed(own, others, NAMES, 3, 0.95)

    assert (len(found.reviews), found.own_weight) == (1500, 3)
    assert [each["own_weight"] for each in found.chosen["tried"]] == [3, 1, 10, None]
    assert found.chosen["chosen_by"].startswith("as configured")


def test_a_handful_of_own_texts_chooses_no_weight():
    own, others = own_and_others(flipped=True)
    found = weighed(own.head(40), others, NAMES, 3, 0.95)

    assert (len(found.reviews), found.own_weight, found.chosen["tried"]) == (1500, 3, [])


def test_reviews_of_a_label_that_the_own_ones_lack_are_no_references():
    others = pd.concat([reviews_of(UNKNOWN), reviews_of({"biasa": "neutral"})])
    assert set(weighed(invented(300), others, NAMES, 3, 0.95).reviews["label"]) == set(NAMES)


def test_length_tells_less_of_the_label_in_references_and_as_much_as_before_in_own_reviews():
    """Long texts are complaints, in own reviews as in others."""
    frame = pd.DataFrame({"review_text": ["bagus"] * 40 + ["jelek"] * 10 + ["bagus " * 15] * 10 + ["jelek " * 15] * 40})
    frame["label"] = np.repeat(["positive", "negative", "positive", "negative"], [40, 10, 10, 40])
    _, weights = References(frame.assign(app_id="other.app"), 3).beside(frame, NAMES)
    long_positive, long_negative = (slice(first, first + rows) for first, rows in ((50, 10), (60, 40)))

    own, others = np.split(weights.own_kept, 2)
    assert own[long_positive].mean() == own[long_negative].mean() == pytest.approx(3 * others.mean(), rel=0.2)
    assert 0.25 < others[long_positive].sum() / others[long_negative].sum() < 1
    assert weights.counted.mean() == weights.balanced.mean() == pytest.approx(1)
    both, _ = np.split(weights.counted, 2)
    assert 0.25 < both[long_positive].sum() / both[long_negative].sum() < 1
    _, balanced = np.split(weights.balanced, 2)
    assert balanced[long_positive].sum() == pytest.approx(balanced[long_negative].sum())


def test_a_text_that_is_asked_in_cross_validation_is_not_learned_from_a_reference():
    references = References(reviews_of({**UNKNOWN, "Bagus Sekali": "positive"}), 3)
    assert set(references.without(pd.Series(["bagus sekali", "lain"])).reviews["review_text"]) == set(UNKNOWN)
