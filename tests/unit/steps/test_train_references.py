"""What a training reads of reference apps, and which of their changes train again."""

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.reviews.stored import columns
from mlops_assets.settings import Settings
from mlops_assets.steps.train import train
from mlops_assets.steps.version import labelled_counts
from mlops_assets.training.kinds import CLASSIC
from tests.fakes.version_repository import FakeVersionRepository
from tests.review_reads import ReviewReads
from tests.unit.reviews.rows import APP, frame, review
from tests.unit.training.invented import invented
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.slow

OTHER = "com.other.app"


def write(folder: Path, app: str, rows: int, *, seed: int, **values: Any) -> None:
    told: Any = invented(rows, seed=seed)
    reviews = [
        review(f"{app}-{seed}-{n}", app_id=app, review_text=row.review_text, rating=int(row.rating), **values)
        for n, row in enumerate(told.itertuples())
    ]
    columns.write_frame(frame(*reviews), folder / app / "2026-01.parquet")


@pytest.fixture
def clone(tmp_path) -> tuple[Settings, Any]:
    """A version of 600 own reviews, without references."""
    settings = settings_of(make_clone(tmp_path / "clone", reference={"own_weight": 5}))
    repository = FakeVersionRepository()
    write(repository.data_folder / "validated", APP, 600, seed=1)
    files = dict.fromkeys(("data/raw", "data/validated"), "a" * 32 + ".dir")
    repository.commits.append({"commit": "c", "files": files, "trailers": {}})
    return settings, repository


def references(repository: FakeVersionRepository) -> Path:
    return repository.data_folder / "reference" / "validated"


def train_classic(settings: Settings, repository: Any):
    return train(CLASSIC, settings, repository, run_id="run", force=False, report=lambda _: None)


def test_references_train_again_at_once_and_their_likes_do_not(clone):
    settings, repository = clone
    first = train_classic(settings, repository)
    assert "references" not in first.metrics.record
    assert "language id" in first.metrics.slices

    write(references(repository), OTHER, 300, seed=2)
    second = train_classic(settings, repository)
    assert "the reference apps or their weight changed" in second.due.reason
    told = second.metrics.record["references"]
    assert (list(told["apps"]), told["own_weight"]) == ([OTHER], 5)
    assert 0 < told["reviews"] < 300
    assert second.metrics.data["rows"] == first.metrics.data["rows"] == 600
    assert [second.metrics.gate.n, second.metrics.test.n] == [first.metrics.gate.n, first.metrics.test.n]

    write(references(repository), OTHER, 300, seed=2, thumbs_up=7)
    assert not train_classic(settings, repository).due


def test_a_model_that_is_not_due_reads_no_review(clone, monkeypatch):
    settings, repository = clone
    assert train_classic(settings, repository).mistakes is not None
    reads = ReviewReads(monkeypatch)
    kept = train_classic(settings, repository)
    assert not kept.due
    assert reads.of_file == {}


def test_each_text_and_the_weight_of_references_count_and_only_apps_and_weight_are_named_as_references(clone):
    settings, repository = clone
    counts = [labelled_counts(settings, repository)]
    for rows in (200, 300):
        write(references(repository), OTHER, rows, seed=2)
        counts.append(labelled_counts(settings, repository))
    counts.append(labelled_counts(settings_with(settings, reference={"own_weight": 2}), repository))
    write(references(repository), "com.third.app", 10, seed=3)
    counts.append(labelled_counts(settings, repository))

    assert len({each.training_data for each in counts}) == 5
    assert counts[0].references == ""
    assert counts[1].references == counts[2].references
    assert len({each.references for each in counts}) == 4
    assert {each.labelled for each in counts} == {600}
    assert all(list(each.rows) == [APP] for each in counts)


def test_references_that_did_not_change_are_not_read_again_to_see_whether_a_training_is_due(clone, monkeypatch):
    settings, repository = clone
    write(references(repository), OTHER, 200, seed=2)
    first = labelled_counts(settings, repository)
    reads = ReviewReads(monkeypatch)
    assert labelled_counts(settings, repository) == first
    assert reads.of_file == {}
    write(references(repository), OTHER, 201, seed=2)  # compares with the 200 that are there
    reads.of_file.clear()
    assert labelled_counts(settings, repository).training_data != first.training_data
    assert list(reads.of_file.values()) == [201]


def test_with_a_teacher_an_erased_text_without_a_label_trains_again_and_without_a_teacher_it_does_not(clone):
    settings, repository = clone
    with_teacher = settings_with(settings, bert={"teacher": "indobert"})
    digests: dict[str, set[str]] = {"taught": set(), "alone": set()}
    for texts in (40, 20, 40):
        rows = [review(f"three-{n}", app_id=APP, review_text=f"biasa saja {n}", rating=3) for n in range(texts)]
        columns.write_frame(frame(*rows), repository.data_folder / "validated" / APP / "2026-02.parquet")
        digests["taught"].add(labelled_counts(with_teacher, repository).training_data)
        digests["alone"].add(labelled_counts(settings, repository).training_data)
    assert (len(digests["taught"]), len(digests["alone"])) == (2, 1)


def settings_with(settings: Settings, **sections: dict[str, Any]) -> Settings:
    return settings.model_copy(update={"sections": {**settings.sections, **sections}})
