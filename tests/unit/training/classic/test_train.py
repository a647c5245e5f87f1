import json
from pathlib import Path

import numpy as np
import pytest

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.serving.models.classic import ClassicModel
from mlops_assets.training.classic import features as classic_features
from mlops_assets.training.classic import forest
from mlops_assets.training.classic import train as classic
from mlops_assets.training.classic.train import ExportDiffers, train_classic
from mlops_assets.training.trained import Trained
from tests.unit.training.invented import invented

pytestmark = pytest.mark.slow

SMALL = ClassicRecipe(trees=20, max_leaf_nodes=20)
WITH = TrainedWith(dataset_version="d" * 12, label_rule="binary", recipe=SMALL.digest(), code="c" * 12)


def train(frame, folder: Path, recipe: ClassicRecipe = SMALL, load=ClassicModel.load, said: list[str] | None = None):
    return train_classic(
        frame, recipe, folder, trained_with=WITH, run_id="run-1", report=(said or []).append, load=load
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("classic") / "model"
    return folder, train(invented(900), folder)


def test_it_learns_far_more_than_the_most_frequent_label(model):
    _, trained = model
    for side in ("validation", "gate", "test"):
        told = trained.metrics[side]
        assert told["accuracy"] > told["majority_share"] + 0.2


def test_the_metrics_name_the_run_the_data_the_code_and_the_version(model):
    folder, trained = model
    metrics = trained.metrics
    assert metrics["model"] == "classic"
    assert metrics["run_id"] == "run-1"
    assert (metrics["dataset_version"], metrics["code_version"]) == (WITH.dataset_version, WITH.code)
    assert metrics["model_version"] == trained.model_version == artifact.model_version(folder)
    assert metrics["data"]["rows"] == 900
    json.dumps(metrics, allow_nan=False)


def test_the_manifest_holds_the_metrics_less_the_run_and_its_own_version(model):
    folder, trained = model
    manifest = artifact.read(folder)
    assert manifest.metrics == {k: v for k, v in trained.metrics.items() if k not in {"run_id", "model_version"}}
    assert (manifest.kind, manifest.labels, manifest.trained_with) == ("classic", ("negative", "positive"), WITH)


def test_the_folder_holds_plain_arrays_and_text_alone(model):
    folder, _ = model
    assert {path.name for path in folder.iterdir()} == {
        "golden.json", "manifest.json", "vocabulary.json", "weights.npz",
    }  # fmt: skip
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} <= {"f", "i"}


def test_no_words_of_a_whole_review_stand_in_the_golden_sentences(model):
    folder, _ = model
    reviews = set(invented(900)["review_text"]) - {"bagus", "jelek"}
    assert not {golden.text for golden in artifact.read_golden(folder)} & reviews


def test_equal_inputs_give_an_equal_version_whatever_the_run(model, tmp_path):
    _, trained = model
    again = train_classic(
        invented(900), SMALL, tmp_path / "b", trained_with=WITH, run_id="run-2", report=print, load=ClassicModel.load
    )
    assert again.model_version == trained.model_version
    assert again.metrics["run_id"] == "run-2"


def test_each_member_s_share_is_told(model):
    _, trained = model
    for side in ("validation", "gate", "test"):
        members = trained.metrics["members"][side]
        assert members.keys() == {"logistic", "forest", "vote"}
        taken = trained.metrics["members"]["taken"]
        assert members[taken]["accuracy"] == trained.metrics[side]["accuracy"]
    assert trained.metrics["chosen"]["forest_share"] in SMALL.votes
    assert trained.metrics["chosen"]["strength"] in SMALL.strengths
    brings = trained.metrics["members"]["forest_brings"]
    assert brings["side"] == "test"
    assert brings["low"] <= brings["points"] <= brings["high"]


def test_a_forest_that_brings_nothing_beyond_noise_has_no_vote_and_the_metrics_say_so(model):
    folder, trained = model
    members = trained.metrics["members"]
    gain = members["validation_log_loss"]
    assert gain["low"] < 0 < gain["n"]
    assert members["taken"] == "logistic"
    assert trained.metrics["chosen"]["forest_share"] == 0
    assert members["said"].startswith("The forest has not been shown to earn its place: with a share of 0.")
    assert "It has no vote. On test the vote is " in members["said"]
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        assert len(arrays["answers"]) == 0


def test_a_forest_that_sees_what_a_sum_of_words_cannot_has_a_vote(tmp_path):
    frame = invented(2400)
    pairs = {"bagus jelek": "negative", "bagus": "positive", "jelek": "positive", "": "negative"}
    drawn = np.random.default_rng(0).choice(list(pairs), len(frame))
    words = [f"{text} ya" for text in drawn]
    frame = frame.assign(review_text=words, label=[pairs[text] for text in drawn])
    recipe = SMALL.model_copy(update={"word_longest": 1, "char_shortest": 1, "char_longest": 1})
    trained = train(frame, tmp_path / "m", recipe)
    members = trained.metrics["members"]
    assert members["taken"] == "vote"
    assert members["said"].startswith("The forest earns its place")
    assert members["test"]["vote"]["accuracy"] == trained.metrics["test"]["accuracy"]


def test_few_validation_reviews_give_the_forest_no_vote(tmp_path):
    frame = invented(300)
    few = frame[(frame["side"] != "validation") | (frame.index < 100)]
    members = train(few, tmp_path / "m").metrics["members"]
    assert members["taken"] == "logistic"
    assert members["said"].startswith("What the forest brings is not known")


def test_a_recipe_without_the_share_0_takes_the_vote(tmp_path):
    trained = train(invented(600), tmp_path / "m", SMALL.model_copy(update={"votes": (0.3,)}))
    assert trained.metrics["chosen"]["forest_share"] == 0.3
    assert "It has a vote." in trained.metrics["members"]["said"]


def test_more_data_is_shown_to_help_or_not(model):
    _, trained = model
    curve = trained.metrics["learning_curve"]
    rows = [point["rows"] for point in curve]
    assert rows == sorted(set(rows))
    assert rows[-1] == trained.metrics["data"]["sides"]["train"]
    assert curve[-1]["accuracy"] > curve[0]["accuracy"]
    assert all(point["n"] == trained.metrics["test"]["n"] for point in curve)


def test_three_labels_are_learnt_too(tmp_path):
    trained = train(invented(900, labels=("negative", "neutral", "positive")), tmp_path / "m")
    assert trained.metrics["confusion_matrix"]["labels"] == ["negative", "neutral", "positive"]
    assert trained.metrics["test"]["accuracy"] > 0.7


@pytest.mark.parametrize("rows", [12, 30, 60])
def test_a_few_dozen_reviews_are_enough_to_have_a_model(tmp_path, rows):
    frame = invented(rows)
    frame.loc[:4, "side"] = "train"
    frame.loc[:1, "label"] = ["negative", "positive"]
    trained = train(frame, tmp_path / "m")
    assert ClassicModel.load(tmp_path / "m").probabilities(["bagus"]).sum() == pytest.approx(1)
    assert trained.metrics["chosen"]["temperature"] == 1


@pytest.mark.parametrize("empty", ["validation", "gate", "test"])
def test_a_side_without_reviews_has_no_figures(tmp_path, empty):
    frame = invented(300)
    frame.loc[frame["side"] == empty, "side"] = "train"
    assert train(frame, tmp_path / "m").metrics[empty] == {"n": 0}


def test_a_side_with_one_label_is_measured(tmp_path):
    frame = invented(300)
    frame = frame[(frame["side"] != "gate") | (frame["label"] == "positive")]
    gate = train(frame, tmp_path / "m").metrics["gate"]
    assert gate["majority_share"] == 1
    assert gate["per_class"]["negative"]["recall"] is None


def test_a_train_side_of_one_label_is_refused_and_leaves_nothing(tmp_path):
    frame = invented(300)
    with pytest.raises(PermanentFailure, match="at least two labels"):
        train(frame[(frame["side"] != "train") | (frame["label"] == "positive")], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_reviews_without_any_n_gram_are_refused_in_one_line(tmp_path):
    with pytest.raises(PermanentFailure, match="no n-gram stands in 1 or more") as refused:
        train(invented(60).assign(review_text=" "), tmp_path / "m")
    assert "\n" not in str(refused.value)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(PermanentFailure, match="is not empty"):
        train(invented(60), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


class Other:
    """A server that answers something else."""

    def __init__(self, folder: Path, by: float) -> None:
        self.model, self.by = ClassicModel.load(folder), by

    def probabilities(self, texts):
        return self.model.probabilities(texts) + self.by


@pytest.mark.parametrize("by", [2e-6, float("nan")])
def test_an_export_that_answers_differently_is_no_model(tmp_path, by):
    with pytest.raises(ExportDiffers, match="differs from scikit-learn's"):
        train(invented(200), tmp_path / "m", load=lambda folder: Other(folder, by))
    with pytest.raises(artifact.BrokenArtifact):
        artifact.read(tmp_path / "m")


def test_an_export_that_cannot_be_loaded_is_no_model(tmp_path):
    def fails(folder):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        train(invented(200), tmp_path / "m", load=fails)
    assert not (tmp_path / "m" / artifact.MANIFEST).exists()


def test_the_vocabulary_of_many_reviews_is_learnt_on_a_bounded_draw():
    texts = invented(2000)["review_text"].tolist()
    bounded = SMALL.model_copy(update={"vocabulary_reviews": 200})
    features, matrix = classic_features.fit(texts, bounded)
    every, _ = classic_features.fit(texts, SMALL)
    assert matrix.words.shape[0] == 2000
    assert set(features.words.vocabulary_) < set(every.words.vocabulary_)
    shared = features.words.vocabulary_["bagus"], every.words.vocabulary_["bagus"]
    assert features.words.idf_[shared[0]] == every.words.idf_[shared[1]]


def test_words_and_characters_lie_side_by_side_in_parts_as_at_once(monkeypatch):
    from scipy.sparse import hstack

    _, matrix = classic_features.fit(invented(100)["review_text"].tolist(), SMALL)
    monkeypatch.setattr(classic_features, "TOGETHER", 30)
    weights = matrix.weights
    at_once = hstack([matrix.words, matrix.chars], format="csr")
    assert weights.shape == at_once.shape
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(weights, name), getattr(at_once, name))
        assert getattr(weights, name).dtype == getattr(at_once, name).dtype


def test_strengths_are_compared_on_a_bounded_draw_and_the_winner_fitted_on_all(tmp_path, monkeypatch):
    fitted = []
    real = classic.logistic
    monkeypatch.setattr(classic, "logistic", lambda w, t, s, c=None: fitted.append(w.shape[0]) or real(w, t, s, c))
    frame = invented(900)
    training = int((frame["side"] == "train").sum())
    train(frame, tmp_path / "m", SMALL.model_copy(update={"search_reviews": 100}))
    assert fitted[: len(SMALL.strengths)] == [100] * len(SMALL.strengths)
    assert fitted[len(SMALL.strengths)] == training


def test_the_forest_is_bounded():
    frame = invented(600)
    _, matrix = classic_features.fit(frame["review_text"].tolist(), SMALL)
    truth = (frame["label"] == "positive").to_numpy(dtype=int)
    grown = forest.grow(matrix.presence, truth, SMALL.model_copy(update={"max_leaf_nodes": 7}))
    assert max(tree.tree_.n_leaves for tree in grown.estimators_) <= 7
    arrays = forest.arrays(grown.estimators_, matrix.words.shape[1], 2)
    assert len(arrays["first"]) == SMALL.trees
    assert len(arrays["answers"]) == sum(tree.tree_.n_leaves for tree in grown.estimators_)
    assert len(arrays["start"]) == len(arrays["answers"]) - SMALL.trees
