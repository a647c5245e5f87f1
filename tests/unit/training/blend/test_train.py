"""The blend of two models: its weight, what it is made of, when it is made, and what its folder answers."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact, Golden, Kind, TrainedWith
from mlops_assets.params.models import Evaluation
from mlops_assets.serving.models.blend import BlendModel, blended
from mlops_assets.serving.models.model import load
from mlops_assets.text import TEXT_VERSION
from mlops_assets.training.blend.train import EVEN, BlendDiffers, bring_blend, choose
from mlops_assets.training.champion import candidates
from mlops_assets.training.metrics import Metrics

BINARY, TERNARY = ("negative", "positive"), ("negative", "neutral", "positive")
KNOWN = {
    "bert": {"jelek": "negative", "lumayan": "neutral", "bagus": "positive"},
    "classic": {"buruk": "negative", "biasa": "neutral", "mantap": "positive"},
}
"""The words that each member knows. Of a text without them it knows nothing."""


class Member:
    """Stands for a member: sure of the texts that hold a word which it knows. It counts the texts that it was asked."""

    device = "cpu"
    asked = 0

    def __init__(self, kind: str, labels: Sequence[str]) -> None:
        self._known, self._labels = KNOWN[kind], labels

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        Member.asked += len(texts)
        return np.array([self._of(text) for text in texts]).reshape(-1, len(self._labels))

    def tokenise(self, texts: Sequence[str]) -> list[list[str]]:
        return [text.split() for text in texts]

    def of_tokens(self, ids: Sequence[Sequence[str]]) -> np.ndarray:
        return self.probabilities([" ".join(words) for words in ids])

    def _of(self, text: str) -> np.ndarray:
        answer = np.ones(len(self._labels))
        for word in text.split():
            if self._known.get(word) in self._labels:
                answer[self._labels.index(self._known[word])] += 8
        return answer / answer.sum()


def opened(folder: Path) -> Member | BlendModel:
    manifest = artifact.read(folder)
    if manifest.kind == "blend":
        members = [opened(folder / member) for member in artifact.MEMBERS]
        return BlendModel(manifest, *members)  # pyright: ignore[reportArgumentType]  # stand-ins
    return Member(manifest.kind, manifest.labels)


def reviews(labels: Sequence[str] = BINARY, rows: int = 480) -> pd.DataFrame:
    """Half of the texts hold a word that only BERT knows, half one of the classic model's; an eighth is mislabelled."""
    words = [word for known in KNOWN.values() for word, label in known.items() if label in labels]
    label_of = {word: label for known in KNOWN.values() for word, label in known.items()}
    texts = [f"{words[n % len(words)]} nomor {n}" for n in range(rows)]
    given = [labels[n // 8 % len(labels)] if n % 8 == 7 else label_of[text.split()[0]] for n, text in enumerate(texts)]
    return pd.DataFrame(
        {
            "review_id": [f"r{n}" for n in range(rows)],
            "app_id": "com.app",
            "review_text": texts,
            "rating": 5,
            "review_date": pd.date_range("2026-01-01", periods=rows, freq="6h", tz="UTC"),
            "label": given,
            "side": [("train", "validation", "gate", "test")[n // 6 % 4] for n in range(rows)],
        }
    )


class Models:
    """A folder `models/` with a stand-in for each member."""

    def __init__(self, folder: Path) -> None:
        self.models, self.folder, self.scratch = folder, folder / "blend", folder / "scratch"
        for kind in artifact.MEMBERS:
            self.train(kind)

    def train(self, kind: Kind, weights: str = "first", data: str = "data", labels: Sequence[str] = BINARY) -> str:
        folder = self.models / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("weights.bin", "optimiser.bin"):
            (folder / name).write_text(f"{kind} {weights} {name}")
        version = artifact.seal(
            folder,
            kind=kind,
            labels=labels,
            text_version=TEXT_VERSION,
            trained_with=TrainedWith("d" * 12, "binary", f"{kind} recipe", "code", data, 480),
            metrics={"base_model": "compact"} if kind == "bert" else {},
            golden=[Golden("bagus", (0.1, 0.9))],
            runtime={"variant": "int8"} if kind == "bert" else {},
            training_files=["optimiser.bin"],
        )
        Metrics.of({"model_version": version, "test": {"n": 1}}).write(
            self.models / artifact.METRICS_FILES[kind],
        )
        return version

    def bring(self, frame: pd.DataFrame | None = None, data: str = "data", load=opened) -> str | None:
        return bring_blend(
            self.models,
            self.scratch,
            reviews() if frame is None else frame,
            training_data=data,
            run_id="run-1",
            trained_at="2026-01-01T00:00:00+00:00",
            load=load,
            rules=Evaluation(rounds=200),
        )

    @property
    def version(self) -> str | None:
        return candidates(self.models).get("blend")

    @property
    def metrics(self) -> dict:
        return json.loads((self.models / "blend_metrics.json").read_text())


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


def test_two_labels_get_the_weighted_log_odds() -> None:
    bert, classic = np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])
    ((no, yes),) = blended(bert, classic, 0.75, 2.0)
    wanted = (0.75 * np.log(0.8 / 0.2) + 0.25 * np.log(0.4 / 0.6)) / 2.0
    assert np.log(yes / no) == pytest.approx(wanted)


def test_three_labels_get_the_weighted_log_probabilities_and_an_impossible_one_stays_finite() -> None:
    bert, classic = np.array([[0.1, 0.6, 0.3], [0.0, 0.0, 1.0]]), np.array([[0.2, 0.2, 0.6], [1.0, 0.0, 0.0]])
    answers = blended(bert, classic, 0.5, 1.0)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    mean = np.sqrt(bert[0] * classic[0])
    np.testing.assert_allclose(answers[0], mean / mean.sum())
    np.testing.assert_allclose(answers[1], [0.5, 0, 0.5], atol=1e-5)


def held(frame: pd.DataFrame, labels: Sequence[str] = BINARY, **wrong: float) -> dict[str, np.ndarray]:
    """Answers of two members that err on these shares of the texts, and are as sure as that."""
    random = np.random.default_rng(0)
    truth = np.array([labels.index(label) for label in frame["label"]])
    given = {}
    for kind, share in wrong.items():
        answered = np.where(random.random(len(truth)) < share, 1 - truth, truth)
        given[kind] = np.where(np.arange(2) == answered[:, None], 1 - share, share)
    return given


@pytest.mark.parametrize(("bert", "classic", "weights"), [(0.1, 0.5, (0.6, 0.9)), (0.5, 0.1, (0.1, 0.4))])
def test_the_member_that_knows_more_weighs_more(bert: float, classic: float, weights: tuple[float, float]) -> None:
    frame = reviews()
    chosen = choose(frame, held(frame, bert=bert, classic=classic), BINARY)
    assert weights[0] <= chosen.bert_weight <= weights[1]
    assert chosen.n == 120


def test_too_few_validation_texts_leave_both_members_their_half() -> None:
    frame = reviews(rows=180)
    chosen = choose(frame, held(frame, bert=0.01, classic=0.5), BINARY)
    assert (chosen.bert_weight, chosen.temperature, chosen.n) == (EVEN, 1.0, 48)


def test_a_text_that_repeats_weighs_as_one() -> None:
    frame = reviews()
    answers = held(frame, bert=0.2, classic=0.2)
    one = frame.index[frame["side"] == "validation"][:1].repeat(5000)
    more = pd.concat([frame, frame.loc[one]], ignore_index=True)
    repeated = {kind: np.concatenate([given, given[one]]) for kind, given in answers.items()}
    assert choose(more, repeated, BINARY) == choose(frame, answers, BINARY)


@pytest.mark.parametrize("labels", [BINARY, TERNARY])
def test_the_sealed_blend_answers_what_neither_member_knows_alone(models: Models, labels: Sequence[str]) -> None:
    for kind in artifact.MEMBERS:
        models.train(kind, labels=labels)
    frame = reviews(labels)
    assert models.bring(frame) is None
    assert models.version == artifact.model_version(models.folder)
    manifest, metrics = artifact.read(models.folder), models.metrics
    assert (manifest.kind, manifest.labels, manifest.runtime["variant"]) == ("blend", labels, "int8")
    answers = opened(models.folder).probabilities(["bagus", "mantap", "buruk", "jelek"])
    assert [labels[index] for index in answers.argmax(axis=1)] == ["positive", "positive", "negative", "negative"]
    on_test = metrics["members"]["test"]
    assert on_test["blend"]["accuracy"] > max(on_test[kind]["accuracy"] for kind in artifact.MEMBERS) + 0.1
    assert on_test["blend"]["n"] == metrics["test"]["n"] == metrics["gate"]["n"] == 120
    brings = metrics["members"]["brings"]
    assert (brings["n"], brings["on"]) == (240, "gate and test")
    assert 10 < brings["low"] < brings["points"]
    assert f"brings +{brings['points']:.1f} points" in metrics["members"]["said"]
    assert (metrics["base_model"], metrics["run_id"], metrics["dataset_version"]) == ("compact", "run-1", "d" * 12)
    assert "run_id" not in manifest.metrics


def test_the_folder_holds_both_members_as_they_were_sealed_without_what_only_training_reads(models: Models) -> None:
    models.bring()
    for kind in artifact.MEMBERS:
        member = models.folder / kind
        assert artifact.model_version(member) == candidates(models.models)[kind]
        assert {path.name for path in member.iterdir()} == {"manifest.json", "golden.json", "weights.bin"}
        for path in member.iterdir():
            assert path.read_bytes() == (models.models / kind / path.name).read_bytes()


def test_each_distinct_text_is_asked_once(models: Models) -> None:
    frame = reviews()
    Member.asked = 0
    models.bring(frame)
    once = Member.asked
    models.train("bert", "second")
    Member.asked = 0
    models.bring(pd.concat([frame] * 3, ignore_index=True))
    assert Member.asked == once


def test_the_same_members_and_reviews_give_the_same_version(models: Models, tmp_path: Path) -> None:
    models.bring()
    other = Models(tmp_path / "other")
    other.bring(reviews().sample(frac=1, random_state=1).sort_values("review_date", ignore_index=True))
    assert models.version == other.version is not None


def test_a_blend_of_these_members_stays_and_is_not_measured_again(models: Models) -> None:
    models.bring()
    version, before = models.version, models.metrics
    Member.asked = 0
    assert models.bring(data="later") is None
    assert (models.version, models.metrics, Member.asked) == (version, before, 0)


@pytest.mark.parametrize("damage", ["bert/weights.bin", "classic/manifest.json", "manifest.json", "golden.json"])
def test_a_damaged_blend_is_refused_and_made_again(models: Models, damage: str) -> None:
    models.bring()
    version = models.version
    path = models.folder / damage
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(BrokenArtifact, match=damage if damage != "manifest.json" else "cannot be read"):
        load(models.folder)
    models.bring()
    assert models.version == version
    artifact.read(models.folder)


@pytest.mark.parametrize("kind", artifact.MEMBERS)
def test_another_member_makes_another_blend_and_the_old_one_is_no_candidate(models: Models, kind: Kind) -> None:
    models.bring()
    before = models.version
    models.train(kind, "second")
    assert models.version is None
    models.bring()
    assert models.version not in (None, before)


@pytest.mark.parametrize("kind", artifact.MEMBERS)
def test_without_one_member_there_is_no_blend_and_nothing_to_tell(models: Models, kind: Kind) -> None:
    models.bring()
    (models.models / artifact.METRICS_FILES[kind]).unlink()  # as a failed training leaves it
    assert models.bring() is None
    assert not models.folder.exists()
    assert not (models.models / "blend_metrics.json").exists()


def test_members_of_other_reviews_other_labels_or_other_texts_are_not_blended(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.train("bert", data="older")
    assert models.bring() == "bert was trained on other reviews than those that models are judged on"
    models.train("bert", labels=TERNARY)
    assert models.bring() == "bert answers negative, neutral, positive, classic negative, positive"
    monkeypatch.setitem(globals(), "TEXT_VERSION", TEXT_VERSION + 1)
    models.train("bert")
    reason = f"bert reads texts by version {TEXT_VERSION}, classic by version {TEXT_VERSION - 1}"
    assert models.bring() == reason
    assert not models.folder.exists()


@pytest.mark.parametrize("sides", [["train"], ["train", "test"], ["train", "gate"], ["train", "validation"]])
def test_sides_without_reviews_are_left_out(models: Models, sides: list[str]) -> None:
    frame = reviews()
    assert models.bring(frame[frame["side"].isin(sides)].reset_index(drop=True)) is None
    assert models.version
    assert models.metrics["chosen"]["n"] == (120 if "validation" in sides else 0)
    assert ("brings" in models.metrics["members"]) == bool({"gate", "test"} & set(sides))


def test_killed_before_its_metrics_are_written_it_is_made_again(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Metrics, path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Metrics, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            models.bring()
    assert models.version is None
    models.bring()
    assert models.version == artifact.model_version(models.folder)


def test_a_blend_that_does_not_answer_as_its_members_is_no_model(models: Models) -> None:
    def loaded(folder: Path) -> Member | BlendModel:
        model = opened(folder)
        return Member("bert", BINARY) if isinstance(model, BlendModel) else model

    with pytest.raises(BlendDiffers, match="differs from its members' answers by 0"):
        models.bring(load=loaded)
    assert models.version is None
    assert not models.folder.exists()
