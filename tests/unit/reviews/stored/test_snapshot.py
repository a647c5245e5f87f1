"""Which stored files make up a version: those of the run's source and of the apps asked for."""

import pytest

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import ERASED
from mlops_assets.reviews.stored.snapshot import take_snapshot
from tests.unit.reviews.rows import APP, frame, review

OTHER = "com.other.app"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "validated"
    months = {
        f"{APP}/2026-01": ["play_store"],
        f"{APP}/2026-02": ["play_store", "import"],
        f"{APP}/2026-03": ["file", "play_store", "import"],
        f"{APP}/2026-04": ["file"],
        f"{OTHER}/2026-01": ["play_store"],
    }
    for name, sources in months.items():
        rows = [review(f"r{n}", source=source, app_id=name.split("/")[0]) for n, source in enumerate(sources)]
        columns.write_frame(frame(*rows), folder / f"{name}.parquet")
    return folder


def snapshot(folder, source="play_store", apps=(APP,)):
    return take_snapshot(folder, source, apps, folder.parent / "scratch")


def sources(path) -> list[str]:
    return columns.read_frame(path)["source"].tolist()


def test_a_file_of_the_source_is_taken_as_it_is_and_a_mixed_one_without_the_rest(folder):
    found = snapshot(folder)
    assert list(found) == [f"{APP}/2026-0{month}.parquet" for month in (1, 2, 3)]
    assert found[f"{APP}/2026-01.parquet"] == folder / APP / "2026-01.parquet"
    assert found[f"{APP}/2026-02.parquet"] == folder / APP / "2026-02.parquet"
    assert sources(found[f"{APP}/2026-03.parquet"]) == ["play_store", "import"]
    assert sources(folder / APP / "2026-03.parquet") == ["file", "play_store", "import"]


@pytest.mark.parametrize(
    ("source", "names"), [("file", ["2026-02", "2026-03", "2026-04"]), ("sample", []), ("play_store", None)]
)
def test_a_run_takes_its_own_reviews_and_those_that_a_person_imported(folder, source, names):
    found = snapshot(folder, source, (APP, OTHER))
    if names is None:
        assert f"{OTHER}/2026-01.parquet" in found
    else:
        assert [name.split("/")[1].removesuffix(".parquet") for name in found] == names


def test_a_mixed_file_is_filtered_again_only_when_it_was_written(folder):
    name = f"{APP}/2026-03.parquet"
    written = [snapshot(folder)[name].stat().st_mtime_ns for _ in range(2)]
    assert written[0] == written[1]
    columns.write_frame(frame(review("r0", source="file"), review("r9", source="play_store")), folder / name)
    assert columns.read_frame(snapshot(folder)[name])["review_id"].tolist() == ["r9"]
    (folder.parent / "scratch" / "mixed.json").write_text("{", encoding="utf-8")
    assert columns.read_frame(snapshot(folder)[name])["review_id"].tolist() == ["r9"]


def test_hidden_files_are_left_and_the_list_of_erased_reviews_comes_along(folder):
    columns.write_frame(frame(review("r1", source="play_store")), folder / APP / ".pending-1" / "2026-05.parquet")
    (folder / ERASED).write_text("{}", encoding="utf-8")
    found = snapshot(folder)
    assert found[ERASED] == folder / ERASED
    assert not any("pending" in name for name in found)


def test_an_empty_file_is_of_no_source(folder):
    columns.write_table(columns.SCHEMA.empty_table(), folder / APP / "2026-06.parquet")
    assert f"{APP}/2026-06.parquet" not in snapshot(folder)
