import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.stored import columns
from tests.unit.reviews.rows import frame, review


def test_rows_in_any_order_give_the_same_bytes(tmp_path):
    rows = [review(str(number), review_date=f"2026-01-{number + 1:02d}") for number in range(20)]
    columns.write_frame(frame(*rows), tmp_path / "a.parquet")
    columns.write_frame(frame(*reversed(rows)), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_equal_rows_leave_the_file_untouched(tmp_path):
    path = tmp_path / "a.parquet"
    assert columns.write_frame(frame(review("1")), path)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert not columns.write_frame(frame(review("1")), path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert columns.write_frame(frame(review("1", rating=4)), path)


def test_what_is_written_is_read_back(tmp_path):
    rows = frame(review("1", review_text="  na\r\n\u200b👍🏻"), review("2", rating=None, review_text=None))
    columns.write_frame(rows, tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(columns.read_frame(tmp_path / "a.parquet"), rows)
    assert rows.dtypes.equals(columns.empty().dtypes)


def test_nothing_but_the_file_is_left_behind(tmp_path):
    columns.write_frame(frame(review("1")), tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("column", columns.KEY_COLUMNS)
def test_a_review_without_a_key_is_refused(column):
    with pytest.raises(columns.UnknownColumns, match=column):
        columns.conform(pd.DataFrame([{**review("1"), column: None}]))
    with pytest.raises(columns.UnknownColumns, match=column):
        columns.conform(pd.DataFrame([review("1")]).drop(columns=column))


def test_other_columns_are_named_without_reading_the_rows(tmp_path):
    path = tmp_path / "a.parquet"
    columns.write_frame(frame(review("1")), path)
    table = pq.read_table(path)
    place = table.column_names.index("rating")
    changed = table.drop_columns(["author"]).append_column("label", pa.array(["x"]))
    pq.write_table(changed.set_column(place, "rating", pa.array([5.0])), path)
    assert columns.schema_changes(path) == [
        "column author is missing",
        "column label is unknown",
        "column rating is double, must be int64",
    ]
    with pytest.raises(columns.UnknownColumns, match="column rating is double"):
        columns.read_frame(path)


def test_a_file_that_is_no_parquet_says_so(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"review_id,rating\n")
    (change,) = columns.schema_changes(tmp_path / "a.parquet")
    assert "cannot be read as Parquet" in change
