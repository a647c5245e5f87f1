"""What becomes of each row of a file: the balance always adds up and names the rows that were put aside."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.reviews.files.balance import Balance, keep_record
from mlops_assets.reviews.files.files import ReadFile, UnusableFile, balances_of, read_reviews
from mlops_assets.reviews.files.imports import clean_file
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.quality.quality import no_review_is_lost
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import Erased, review_digest
from mlops_assets.reviews.stored.store import ReviewStore
from tests.unit.reviews.rows import APP

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
RULES = FileRules(app_id=APP, first_month="2016-01", now=NOW)
HEADER = "reviewId,content,score,at"


@pytest.fixture
def written(tmp_path):
    def write(lines: list[str], name: str = "reviews.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def read(path: Path, **changes: object) -> ReadFile:
    return read_reviews(path, RULES, **changes)


def test_every_row_is_accounted_for_with_its_line_and_its_reason(written):
    found = read(
        written(
            [
                HEADER,
                "a,bagus,5,2026-01-10",
                "a,bagus,5,2026-01-09",
                ",,,",
                "b,jelek,1,kemarin",
                "c,jelek,1,2027-01-10",
                "d,jelek,1,2015-06-01",
                "e,jelek,1,",
                "f,   ,1,2026-02-01",
                "g,lumayan,9,2026-02-01",
                "h,mantap,5,2026-02-01",
            ]
        )
    )
    balance = found.balance
    assert (balance.rows, balance.taken, balance.quarantined, balance.repeats, balance.blank) == (9, 2, 6, 1, 1)
    assert {int(line): reason.split(":")[0].split(" (")[0] for line, reason in balance.aside["reason"].items()} == {
        5: "with a date that is not understood",
        6: "dated in the future",
        7: "dated before first_month 2016-01",
        8: "without a date",
        9: "text is empty",
        10: "rating is not 1 to 5",
    }
    text = "\n".join(balance)
    assert "line 5: 'kemarin'" in text
    assert "line 6: '2027-01-10'" in text
    assert "first_month: 2015-06" in text
    assert "lines" not in text.splitlines()[0]
    assert "line 3" in text  # the older of the two rows of one id
    assert sorted(found.frame["review_id"].unique()) == ["a", "f", "g", "h"]
    assert balance.by_month.set_index("month").loc["2026-02"].tolist() == [APP, 1, 2, 0]


def test_the_record_of_what_was_put_aside_goes_when_nothing_is(written, tmp_path):
    path = written([HEADER, "a,bagus,5,2026-01-10", "b,rahasia,1,=HYPERLINK(1)"])
    keep_record(read(path).balance, tmp_path)
    record = (tmp_path / "quarantine" / "files" / "reviews.csv-rows.csv").read_text(encoding="utf-8")
    assert record.startswith("line,app_id,month,reason,value")
    assert f"3,{APP},,with a date that is not understood" in record
    assert "rahasia" not in record
    keep_record(read(written([HEADER, "a,bagus,5,2026-01-10"])).balance, tmp_path)
    assert not (tmp_path / "quarantine" / "files" / "reviews.csv-rows.csv").exists()


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("2026-03-11T11:59:59Z", True),
        ("2026-03-11T12:00:00Z", False),
        ("2016-01-01T00:00:00Z", True),
        ("2015-12-31T23:59:59Z", False),
    ],
)
def test_the_limits_are_a_day_after_the_clock_and_the_first_month(written, date, kept):
    balance = read(written([HEADER, "a,bagus,5,2026-01-10", f"b,bagus,5,{date}"])).balance
    assert (balance.taken, balance.quarantined) == ((2, 0) if kept else (1, 1))


def test_a_month_that_has_not_begun_is_no_month_of_a_run(written):
    lines = [HEADER, "a,bagus,5,2026-01-10", "b,bagus,5,2026-02-01T01:00:00Z"]
    late = datetime(2026, 1, 31, 20, tzinfo=UTC)
    assert read(written(lines), now=late).balance.quarantined == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,mantap dari dulu,5,2015-06-01", r"none of 1 rows can be taken: 1 dated before first_month 2016-01 "
         r"\(line 2: '2015-06-01'\): write first_month: 2015-06 into params.yaml"),
        ("a,teks,5,2027-01-10", r"1 dated in the future \(the clock says 2026-03-10 12:00 UTC\) "
         r"\(line 2: '2027-01-10'\)"),
        ("a,,5,2026-01-10", r"1 text is empty \(line 2\)"),
    ],
)  # fmt: skip
def test_a_file_of_which_nothing_can_be_taken_is_refused_with_the_row_and_the_next_step(written, row, said):
    with pytest.raises(UnusableFile, match=said):
        read(written([HEADER, row]))


def test_a_row_without_an_app_is_put_aside_where_others_name_theirs(written):
    lines = [f"{HEADER},app_id", f"a,bagus,5,2026-01-10,{APP}", "b,bagus,5,2026-01-10,"]
    balance = read(written(lines), app_id=None).balance
    assert (balance.taken, balance.quarantined) == (1, 1)
    assert "1 without an app (line 3)" in "\n".join(balance)


NUMBERED = [["0", "1", "2"], ["1", "2", "3"], ["0.0", "1.0", "2.0"], ["17", "4", "90210"]]
NUMBERED += [["row_1", "row_2", "row_10"], ["Ulasan 1", "#2", "No. 3"], ["0001", "-1", "1.001"]]


@pytest.mark.parametrize("name", ["id", "reviewId", "review_id"])
@pytest.mark.parametrize("ids", NUMBERED)
def test_two_files_with_the_same_row_numbers_keep_all_rows(written, tmp_path, name, ids):
    store = ReviewStore(tmp_path / "raw")
    for file in ("a", "b"):
        lines = [f"{name},content,score,at", *(f"{n},aplikasi {file} {n},5,2026-01-10" for n in ids)]
        found = read(written(lines, f"{file}.csv"))
        assert any("row numbers" in line for line in found.balance)
        store.upsert(APP, found.frame)
    assert store.count(APP) == 6


def test_ids_of_another_kind_stay(written):
    ids = ["gp:AOq1", "1234567890123", "toko-17", "r1", "nancy"]
    lines = [HEADER, *(f"{one},bagus,5,2026-01-10" for one in ids)]
    assert set(read(written(lines)).frame["review_id"]) == set(ids)


@pytest.mark.parametrize("cell", ["nan", "None", "NULL", "-", "N/A", "1.23457E+18", '"1,23457E+18"', "#NAME?"])
def test_what_is_left_of_an_id_joins_no_reviews(written, cell):
    lines = [HEADER, *(f"{cell},teks {n},5,2026-01-1{n}" for n in range(3)), "gp:a,bagus,5,2026-01-10"]
    balance = read(written(lines)).balance
    assert (balance.taken, balance.repeats) == (4, 0)
    assert any("3 rows have no id (3 hold" in line for line in balance)


def test_a_column_that_says_the_same_of_many_reviews_holds_no_ids(written):
    lines = ["id,content,score,at", *(f"brimo,teks {n},5,2026-01-1{n}" for n in range(9))]
    balance = read(written(lines)).balance
    assert (balance.taken, balance.repeats) == (9, 0)
    assert any("an id such as 'brimo' stands for many reviews" in line for line in balance)
    edited = [HEADER, *(f"a,teks {n},5,2026-01-1{n}" for n in range(4))]
    assert read(written(edited)).balance.repeats == 3


def test_rows_that_were_stored_under_their_numbers_are_not_doubled(written, tmp_path):
    path = written(["id,content,score,at", *(f"{n},aplikasi {n},5,2026-01-1{n}" for n in range(3))])
    store = ReviewStore(tmp_path / "raw")
    older = read(path, source="import").frame
    numbers = {text: text[-1] for text in older["review_text"]}
    store.upsert(APP, columns.conform(older.assign(review_id=older["review_text"].map(numbers))))
    assert store.give_content_ids(APP) == ("2026-01",)
    assert store.give_content_ids(APP) == ()
    done = store.upsert(APP, read(path, source="import").frame)
    assert (done.new, done.months, store.count(APP)) == (0, (), 3)


def test_the_new_ids_are_no_loss_of_reviews_to_the_next_version(written, tmp_path):
    path = written(["id,content,score,at", "0,aplikasi nol,5,2026-01-10", "1,aplikasi satu,5,2026-01-10"])
    now = read(path).frame
    before = now.assign(review_id=["0", "1"])
    files = {name: tmp_path / f"{name}.parquet" for name in ("before", "now", "one")}
    for name, rows in (("before", before), ("now", now), ("one", now.head(1))):
        columns.write_frame(columns.conform(rows), files[name])
    month = f"{APP}/2026-01.parquet"
    assert no_review_is_lost({month: files["before"]}, {month: files["now"]}, [files["now"]]).passed
    assert not no_review_is_lost({month: files["before"]}, {month: files["one"]}, [files["one"]]).passed


def test_a_review_that_was_erased_under_its_number_does_not_come_back(written, tmp_path):
    path = written(["id,content,score,at", "0,rahasia,5,2026-01-10", "1,bagus,5,2026-01-10"])
    store = ReviewStore(tmp_path / "raw")
    erased = Erased(frozenset({review_digest("0")}))
    erased.save(store.folder)
    store.upsert(APP, read(path, erased=erased).frame)
    assert store.read(APP, "2026-01")["review_text"].tolist() == ["bagus"]


def test_an_id_from_content_does_not_depend_on_the_other_rows_or_on_the_zone(written):
    head = "content,score,at"
    alone = read(written([head, "bagus,5,2026-01-10 10:00:00"])).frame["review_id"].item()
    beside = read(
        written([head, "bagus,5,2026-01-10 10:00:00", "x,1,2026-01-10 10:00:00.123"]), naive_zone="Asia/Jakarta"
    )
    assert alone in set(beside.frame["review_id"])


def test_one_review_in_two_apps_is_no_repeat(written):
    lines = [f"{HEADER},app_id", "a,bagus,5,2026-01-10,com.one.app", "a,bagus,5,2026-01-10,com.two.app"]
    assert (read(written(lines)).balance.taken, read(written(lines)).balance.repeats) == (2, 0)


def test_several_files_count_a_review_in_both_once(written):
    files = [read(written([HEADER, "a,bagus,5,2026-01-10", f"{n},x,1,2026-01-10"], f"{n}.csv")) for n in ("b", "c")]
    assert balances_of(files).summary() == (
        "2 files: 4 rows read = 3 taken + 0 in quarantine + 1 repeats, 1 of them of another file"
    )


def test_a_balance_that_does_not_add_up_is_a_fault():
    with pytest.raises(AssertionError, match="3 rows read"):
        Balance.of(
            "a.csv", 3, pd.DataFrame({"fate": ["taken", "repeats"]}).assign(app_id="", month="", reason="", value="")
        )


CELL = st.sampled_from(["", " ", "a", "b", "kemarin", "5", "1", "9", "4.5", "2026-01-10", "2027-01-10", "2015-02-01"])
DATE = st.sampled_from(
    ["2026-01-10", "2026-02-01 10:00:00", "2026-02-01T10:00:00+07:00", "2027-05-01", "2015-05-01", "x", ""]
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(CELL, CELL, CELL, DATE), max_size=12))
@pytest.mark.slow
def test_the_balance_of_any_file_adds_up_and_a_cleaned_copy_gives_the_same_rows(tmp_path, rows):
    path = tmp_path / "any.csv"
    lines = [HEADER, "gp:1,bagus,5,2026-01-10", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read(path, source="import")
    balance = found.balance
    assert balance.rows + balance.blank == len(lines) - 1
    assert balance.taken + balance.quarantined + balance.repeats == balance.rows
    assert sum(count for _, count, _ in balance.reasons()) == balance.quarantined
    assert balance.by_month[["taken", "quarantined", "repeats"]].to_numpy().sum() == balance.rows
    assert len(list(balance)) <= 20
    target, told = clean_file(path, tmp_path / "imports", FileRules(**{**vars(RULES), "source": "import"}))
    assert list(told) == list(balance) == list(Balance.of_record(json.loads(json.dumps(balance.as_record()))))
    pd.testing.assert_frame_equal(read(target, source="import").frame, found.frame)
