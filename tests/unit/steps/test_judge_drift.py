"""Whether the newest reviews drifted: judged once for each content and model, or not judged and why."""

import json

import pytest

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.profile import Profile
from mlops_assets.reviews.stored import columns
from mlops_assets.steps import judge_drift
from mlops_assets.steps.judge_drift import compare_with_training
from mlops_assets.trained_on import SAMPLE_APP, TrainedOn
from mlops_assets.training.champion import RECORD
from tests.review_reads import ReviewReads
from tests.unit.steps.test_judge_reviews import evidence, repository, sample_rows, settings

__all__ = ["repository", "settings"]  # fixtures

pytestmark = pytest.mark.slow  # plots and statistics

SAMPLE = TrainedOn.of([SAMPLE_APP], ["sample"])


def serve(settings, trained_on: TrainedOn = SAMPLE, version: str = "m1") -> None:
    """A champion, and the profile of the reviews that it learned from."""
    record = {"model_version": version, "dataset_version": "data1", "trained_on": trained_on.record()}
    settings.models.mkdir(parents=True, exist_ok=True)
    (settings.models / RECORD).write_text(json.dumps(record), encoding="utf-8")
    path = settings.profile("data1")
    path.parent.mkdir(exist_ok=True)
    Profile.of(sample_rows(600)).save(path)


def judged(settings, repository):
    return judge_drift.judge_drift(evidence(settings, repository))


def test_without_a_model_nothing_is_judged(settings, repository):
    assert judged(settings, repository).reason == "not judged: no model was chosen yet"


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [
        (TrainedOn.of(["com.a"], ["file"]), "trained on reviews of com.a, and these are generated reviews"),
        (TrainedOn.of(["com.a", "com.b"], ["import"]), "trained on reviews of com.a, com.b, and these are generated"),
    ],
)
def test_reviews_that_the_model_was_never_made_for_show_no_drift(settings, repository, trained_on, words):
    serve(settings, trained_on)
    verdict = judged(settings, repository)
    assert not verdict.drifted
    assert words in verdict.reason


def test_a_model_whose_data_is_not_on_record_is_judged_all_the_same(settings, repository):
    serve(settings, TrainedOn())
    assert "200 new reviews" in judged(settings, repository).reason


def test_a_model_whose_data_no_version_holds_is_not_judged(settings, repository):
    serve(settings)
    settings.profile("data1").unlink()
    assert judged(settings, repository).reason == (
        "not judged: the branch knows no data data1, on which the serving model was trained"
    )


def test_reviews_unlike_those_of_training_drift_with_tables_and_pictures(settings, repository):
    serve(settings)
    rows = sample_rows(600).assign(review_text="the app keeps crashing since the update", rating=1)
    columns.write_frame(columns.conform(rows), settings.data / "validated" / SAMPLE_APP / "2026-01.parquet")
    verdict = judged(settings, repository)
    assert verdict.drifted
    assert set(verdict.tables) == {"features", "ngrams", "examples"}
    assert set(verdict.pictures) == {"by_feature", "mixes"}


def test_the_same_reviews_against_the_same_model_are_judged_once(settings, repository, monkeypatch):
    serve(settings)
    first = judged(settings, repository)
    with monkeypatch.context() as nothing_is_judged:
        nothing_is_judged.setattr(judge_drift, "compare_with_training", None)
        again = judged(settings, repository)
    assert (again.drifted, again.reason, again.sustained) == (first.drifted, first.reason, first.sustained)
    assert again.pictures.keys() == first.pictures.keys()
    history = settings.instance_folder / "drift.jsonl"
    assert len(history.read_text(encoding="utf-8").splitlines()) == 1
    serve(settings, version="m2")
    judged(settings, repository)
    assert [json.loads(line)["model_version"] for line in history.read_text(encoding="utf-8").splitlines()] == [
        "m1",
        "m2",
    ]


@pytest.mark.parametrize("content", ['{"key": ', "[]", '{"key": 1}'])
def test_a_damaged_record_is_judged_again(settings, repository, content):
    serve(settings)
    first = judged(settings, repository)
    (settings.instance_folder / "drift.json").write_text(content, encoding="utf-8")
    assert judged(settings, repository).reason == first.reason


def test_new_reviews_in_one_month_are_judged_without_reading_the_other_months(settings, repository, monkeypatch):
    serve(settings)
    judged(settings, repository)
    february = settings.data / "validated" / SAMPLE_APP / "2026-02.parquet"
    new = sample_rows(50, review_date="2026-02-10T12:00:00Z")
    columns.write_frame(new.assign(review_id="new-" + new["review_id"]), february)
    reads = ReviewReads(monkeypatch)
    assert "250 new reviews" in judged(settings, repository).reason
    assert set(reads.of_file) == {str(february)}


def test_only_as_many_reviews_as_are_compared_are_asked_for(settings, repository):
    serve(settings)
    asked = list[int]()

    def newest(count: int):
        asked.append(count)
        return sample_rows(200)

    compare_with_training(settings, repository, SAMPLE, newest)
    assert asked == [settings.section(DriftOptions).recent_reviews]
