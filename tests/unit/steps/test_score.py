"""The champion scores the data version within the minutes of a run, and everybody who asks hears how far it is."""

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.cli.status import print_status
from mlops_assets.reviews.stored import columns
from mlops_assets.steps.plan import predictions_due
from mlops_assets.steps.score import score
from mlops_assets.training.champion import Decision, write_decision
from tests.fakes.tiny_model import seal_tiny_model
from tests.fakes.version_repository import FakeVersionRepository
from tests.unit.reviews.rows import APP, frame, review
from tests.user_clone import make_clone, settings_of


class Version:
    """A version of two months, and a champion for it."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_of(make_clone(folder / "clone"))
        self.repository: Any = FakeVersionRepository()
        for month in ("2026-01", "2026-02"):
            rows = [
                review(f"{month}-{number}", review_text=f"bagus {month} {number}", review_date=f"{month}-03T00:00:00Z")
                for number in range(3)
            ]
            self.write(month, rows)
        self.promote("first", 0.0)

    def write(self, month: str, rows: list[dict[str, object]]) -> None:
        path = self.repository.data_folder / "validated" / APP / f"{month}.parquet"
        columns.write_frame(frame(*rows), path)
        stored = f"{len(self.repository.commits):x}" * 32 + ".dir"
        self.repository.commits.append({"commit": stored, "files": {"data/raw": stored, "data/validated": stored}})

    def promote(self, name: str, intercept: float) -> None:
        champion = self.settings.models / "champion"
        if champion.exists():
            champion.rename(self.settings.models / f"before {name}")
        self.version = seal_tiny_model(champion, intercept=intercept)
        write_decision(self.settings.models, Decision(self.version))


@pytest.fixture
def data(tmp_path: Path) -> Version:
    return Version(tmp_path)


def test_what_is_scored_is_due_until_the_champion_has_answered_every_review(
    data: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    first = score(data.settings, data.repository)
    assert (first.texts_scored, first.labels, first.progress.behind) == (6, {"positive": 6}, 0)
    assert not score(data.settings, data.repository).due
    data.promote("second", -9.0)
    times = iter(range(0, 100_000, 250))
    second = score(data.settings, data.repository, clock=lambda: next(times))
    assert second.labels == {"negative": 3, "positive": 3}
    still = predictions_due(data.settings, second.progress.dataset_version)
    assert (still.due, still.reason) == (True, str(second.progress))
    print_status(data.settings)
    assert f"Predictions: model {data.version} answered 3 of 6 reviews, 3 still have" in capsys.readouterr().out
    assert score(data.settings, data.repository).labels == {"negative": 6}
    assert not predictions_due(data.settings, second.progress.dataset_version)


def test_a_month_without_new_texts_needs_no_model(data: Version) -> None:
    """A damaged champion stops nothing that it is not asked for."""
    score(data.settings, data.repository)
    data.write("2026-02", [review("2026-02-0", review_text="bagus 2026-02 0", review_date="2026-02-03T00:00:00Z")])
    for weights in (data.settings.models / "champion").glob("*.npz"):
        weights.write_bytes(b"")
    done = score(data.settings, data.repository)
    assert (bool(done.due), done.texts_scored, done.count) == (True, 0, 4)
