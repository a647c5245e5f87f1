"""The sides of a version: what the pipeline chooses, what is on record, and what params.yaml says."""

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.split import Split, gate_percent
from mlops_assets.settings import Settings
from mlops_assets.steps.version import current_split, labelled_reviews, split_of_model
from tests.fakes.tiny_model import seal_tiny_model
from tests.fakes.version_repository import FakeVersionRepository
from tests.unit.reviews.rows import APP, frame, review
from tests.user_clone import make_clone, settings_of

OTHER = "com.other.app"


class Place:
    def __init__(self, folder: Path, **params: Any) -> None:
        self.settings: Settings = settings_of(make_clone(folder / "clone", **params))
        self.repository: Any = FakeVersionRepository()

    def write(self, app: str, texts: range) -> None:
        rows = [review(f"{app}{n}", app_id=app, review_text=f"teks {n}", rating=1 + 4 * (n % 2)) for n in texts]
        columns.write_frame(frame(*rows), self.repository.data_folder / "validated" / app / "2026-01.parquet")

    def version(self) -> Split:
        """The split of the reviews that are there, which goes on record."""
        split = current_split(self.settings, self.repository)
        self.repository.gates[False] = round(split.percents["gate"])
        return split

    def sides(self) -> dict[str, str]:
        found = labelled_reviews(self.settings, self.repository)
        return dict(zip(found["review_text"], found["side"], strict=True))


def test_fewer_reviews_bring_no_text_back_to_the_gate_side(tmp_path) -> None:
    """As after a restore, an erasure, or an app that was removed."""
    place = Place(tmp_path)
    place.write(APP, range(700))
    assert place.version() == Split.nested(gate_percent(700))
    few = place.sides()
    place.write(OTHER, range(700, 2000))
    assert place.version() == Split.nested(gate_percent(2000))
    many = place.sides()
    assert {(few[text], many[text]) for text in few if few[text] != many[text]} == {("gate", "train")}
    (place.repository.data_folder / "validated" / OTHER / "2026-01.parquet").unlink()
    assert place.version() == Split.nested(gate_percent(2000))
    assert place.sides() == {text: many[text] for text in few}


def test_fixed_sides_stay_as_they_are_written(tmp_path) -> None:
    percents = {"train": 60, "validation": 10, "gate": 20, "test": 10}
    place = Place(tmp_path, sides=percents)
    place.write(APP, range(50))
    assert current_split(place.settings, place.repository) == Split.explicit(percents)


@pytest.mark.parametrize("fixed", [None, {"train": 60, "validation": 10, "gate": 20, "test": 10}])
def test_a_model_that_names_no_split_had_the_sides_of_params_or_the_smallest_gate_side(tmp_path, fixed) -> None:
    settings = Place(tmp_path, **({"sides": fixed} if fixed else {})).settings
    seal_tiny_model(tmp_path / "old")
    seal_tiny_model(tmp_path / "new", split=str(Split.nested(12)))
    assert split_of_model(settings, tmp_path / "old") == (Split.explicit(fixed) if fixed else Split.nested(5))
    assert split_of_model(settings, tmp_path / "new") == Split.nested(12)
