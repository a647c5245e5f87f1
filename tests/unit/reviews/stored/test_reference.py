"""Which reviews of reference apps a version holds, and which of them models learn from."""

from pathlib import Path

import pandas as pd

from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.counts import Labelling
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.reference import newest_reviews, reference_folder, reference_store
from mlops_assets.reviews.stored.split import Split
from mlops_assets.reviews.stored.usable import train_side
from mlops_assets.reviews.stored.volumes import month_stamps
from tests.unit.reviews.rows import frame, review

GOJEK, DANA = "com.gojek.app", "id.dana"
SPLIT = Split.nested(30)


def stored(data: Path, app: str, months: dict[str, int]) -> None:
    rows = [
        review(f"{app}-{month}-{day}", app_id=app, review_text=f"{month} {day} {app}", review_date=f"{month}-{day:02}")
        for month, count in months.items()
        for day in range(1, count + 1)
    ]
    reference_store(data).upsert(app, frame(*rows))
    for month in months:
        path = reference_folder(data) / "validated" / app / f"{month}.parquet"
        columns.write_frame(reference_store(data).read(app, month), path)


def test_the_newest_of_each_app_are_taken_and_the_oldest_month_is_cut(tmp_path: Path) -> None:
    data = tmp_path / "data"
    stored(data, GOJEK, {"2026-01": 10, "2026-02": 10, "2026-03": 4})
    stored(data, DANA, {"2026-02": 3})
    stored(data, "com.other.app", {"2026-02": 3})
    found = newest_reviews(reference_folder(data), [GOJEK, DANA, "never.collected"], 9, tmp_path / "scratch")
    assert found.rows == {GOJEK: 9, DANA: 3}
    assert [*found.validated] == [f"{GOJEK}/2026-03.parquet", f"{GOJEK}/2026-02.parquet", f"{DANA}/2026-02.parquet"]
    cut = columns.read_frame(found.validated[f"{GOJEK}/2026-02.parquet"])
    assert [int(review_id[-2:].lstrip("-")) for review_id in cut["review_id"]] == [6, 7, 8, 9, 10]
    assert found.raw.keys() == found.validated.keys()
    assert columns.row_count(found.raw[f"{GOJEK}/2026-02.parquet"]) == 10
    assert columns.row_count(reference_folder(data) / "validated" / GOJEK / "2026-02.parquet") == 10
    again = newest_reviews(reference_folder(data), [GOJEK], 12, tmp_path / "scratch")
    assert columns.row_count(again.validated[f"{GOJEK}/2026-02.parquet"]) == 8
    assert newest_reviews(reference_folder(data), [GOJEK], 24, tmp_path / "scratch").rows == {GOJEK: 24}


def test_models_learn_from_labelled_texts_of_the_train_side_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = [
        review(f"r{n:03}", app_id=GOJEK, review_text=f"ulasan {n}", rating=n % 5 + 1, review_date="2026-01-02")
        for n in range(200)
    ]
    path = reference_folder(data) / "validated" / GOJEK / "2026-01.parquet"
    columns.write_frame(frame(*rows), path)
    files = files_below(reference_folder(data) / "validated")
    found = train_side(files, Labelling("binary", Sides(), tmp_path / "kept"), SPLIT)
    labelled = pd.Series([f"ulasan {n}" for n in range(200) if n % 5 != 2])
    wanted = {*labelled[SPLIT.sides_of(labelled) == "train"]}
    assert {*found["review_text"]} == wanted
    assert 0 < len(wanted) < 160
    assert {*found["side"]} == {"train"}
    assert {*found["label"]} == {"negative", "positive"}
    assert not (tmp_path / "kept").exists()


def test_an_apps_volumes_do_not_see_reference_reviews(tmp_path: Path) -> None:
    stored(tmp_path, GOJEK, {"2026-01": 3})
    assert month_stamps(tmp_path) == {}
