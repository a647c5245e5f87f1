"""Files in every form: each cell is read as it stands, or the file is refused with line, rule and remedy."""

import csv
import gzip
import io
import json
import zipfile
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.reviews.files.tables.cells import NoTable
from mlops_assets.reviews.files.tables.tables import Table, read_table
from tests.unit.reviews.conftest import decoded
from tests.unit.reviews.files.workbook import workbook

HEADER = ["content", "score", "at"]
ROWS = [["Bagus, sekali", "5", "2025-01-10"], ["na", "1", "2025-01-11"], ["=1+1", "4", "2025-01-12"]]


def rows(table: Table) -> list[list[str]]:
    return table.cells.to_numpy().tolist()


def as_csv(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


def as_json(rows: list[list[str]]) -> bytes:
    return json.dumps([dict(zip(rows[0], row, strict=True)) for row in rows[1:]]).encode()


def as_json_lines(rows: list[list[str]]) -> bytes:
    return b"\n".join(json.dumps(dict(zip(rows[0], row, strict=True))).encode() for row in rows[1:])


def as_arrow(rows: list[list[str]], write) -> bytes:
    sink = io.BytesIO()
    columns = list(zip(*rows[1:], strict=True)) or [() for _ in rows[0]]
    write(pa.table([pa.array(column, pa.string()) for column in columns], names=rows[0]), sink)
    return sink.getvalue()


FORMS = {
    "comma": as_csv,
    "semicolon": lambda rows: as_csv(rows, ";", "\n"),
    "tab": lambda rows: as_csv(rows, "\t"),
    "bar": lambda rows: as_csv(rows, "|"),
    "utf-16": lambda rows: as_csv(rows).decode().encode("utf-16"),
    "gzip": lambda rows: gzip.compress(as_csv(rows)),
    "json": as_json,
    "json lines": as_json_lines,
    "json lines in gzip": lambda rows: gzip.compress(as_json_lines(rows)),
    "workbook": lambda rows: workbook({"Sheet1": rows}),
    "parquet": lambda rows: as_arrow(rows, pq.write_table),
    "feather": lambda rows: as_arrow(rows, pf.write_feather),
}
# A workbook cannot hold control characters, and XML makes one line end of each kind.
cells = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20) | st.sampled_from(
    [
        "na",
        "null",
        "NULL",
        "None",
        "nan",
        "=1+1",
        "1e5",
        "true",
        "007",
        '"',
        '""',
        ",",
        ";",
        "a\nb",
        " x ",
        "5.0",
        "'",
        "\\",
    ]
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(texts=st.lists(cells, min_size=1, max_size=6))
def test_every_form_gives_back_the_cells_that_were_written(form, texts):
    table = [HEADER, *[[text, "5", "2025-01-10"] for text in texts]]
    assert rows(decoded(FORMS[form](table))) == table[1:]


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_told_by_content_and_not_by_the_ending(written, form):
    assert rows(read_table(written(FORMS[form]([HEADER, *ROWS]), "reviews.txt"))) == ROWS


@settings(max_examples=100)
@given(
    form=st.sampled_from(sorted(FORMS)), place=st.integers(0, 400), put=st.binary(max_size=4), cut=st.integers(0, 40)
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(form, place, put, cut):
    whole = FORMS[form]([HEADER, *ROWS])
    try:
        table = decoded(whole[:place] + put + whole[place + cut :])
    except NoTable as refused:
        assert ": " in str(refused)  # noqa: PT017  either of the two is right
    else:
        assert table.cells.index.is_unique


class TestPacked:
    def test_a_damaged_and_a_short_gzip_file_are_refused(self, refusal):
        packed = gzip.compress(as_csv([HEADER, *ROWS]))
        assert "ends too early" in refusal(packed[:-12])
        assert "damaged gzip" in refusal(packed[:10] + b"\xff" * 30)

    def test_a_gzip_file_that_unpacks_to_far_more_than_reviews_is_refused(self, refusal, monkeypatch):
        monkeypatch.setattr("mlops_assets.reviews.files.tables.text._SMALL_BYTES", 2**20)
        assert "unpacks to more than" in refusal(gzip.compress(b"a" * 2**25))

    def test_a_zip_file_and_other_forms_are_refused_with_what_to_do(self, refusal):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("reviews.csv", "content,score,at\n")
        assert "is a zip file: unpack it" in refusal(packed.getvalue())
        assert "is a PDF" in refusal(b"%PDF-1.7\n...")
        assert "is a web page" in refusal("<html><table><tr><td>content</td></tr></table></html>")
        assert "unpack it" in refusal(b"BZh91AY&SY")


class TestWorkbooks:
    def test_cells_are_read_as_a_sheet_shows_them(self, read):
        when = datetime(2025, 1, 13, 14, 5)  # noqa: DTZ001  a sheet has no zones
        table = read(
            workbook(
                {"Data": [["Ekspor"], [], HEADER, ["007", 5, when], [True, 4.5, "13 Jan 2025"], [], [1e5, 1, when]]}
            )
        )
        assert table.cells.index.tolist() == [4, 5, 6, 7]
        assert table.cells["content"].tolist() == ["007", "TRUE", "", "100000"]
        assert table.cells["score"].tolist() == ["5", "4.5", "", "1"]
        assert table.cells["at"].tolist()[:2] == ["2025-01-13 14:05:00", "13 Jan 2025"]
        assert table.notes == ("row 1 before the header left out",)

    def test_the_sheet_with_reviews_is_read_and_several_are_refused(self, read, refusal):
        sheet = [HEADER, *ROWS]
        table = read(workbook({"Catatan": [["x"]], "Ulasan": sheet}))
        assert rows(table) == ROWS
        assert table.notes == ("sheet 'Ulasan' is read, not 'Catatan'",)
        assert "several sheets (A, B)" in refusal(workbook({"A": sheet, "B": sheet}))

    def test_a_stray_cell_far_away_is_refused_before_it_takes_all_memory(self, refusal):
        sheet = workbook({"A": [HEADER, *ROWS]})
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(sheet)) as whole, zipfile.ZipFile(packed, "w") as archive:
            for name in whole.namelist():
                far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                archive.writestr(name, whole.read(name).replace(b"</sheetData>", far))
        assert "a cell in row 1048576 and one in column XFD" in refusal(packed.getvalue())

    def test_a_damaged_workbook_is_refused(self, refusal):
        whole = workbook({"A": [HEADER, *ROWS]})
        assert "damaged" in refusal(whole[: len(whole) // 2])
        assert "damaged workbook" in refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)


class TestJson:
    RECORDS = (
        '[{"content": "na", "score": 5, "at": "2025-01-10T00:30:00.000"}, '
        '{"content": null, "score": 1e0, "at": 1736469000}]'
    )

    @pytest.mark.parametrize(
        "content",
        [
            RECORDS,
            f'{{"reviews": {RECORDS}, "total": 2, "app": {{"title": "x"}}, "tags": ["a", "b"]}}',
            f'[{RECORDS}, "token"]',
            f'{{"data": {{"items": {RECORDS}}}}}',
            '{"content": {"0": "na", "1": null}, "score": {"0": 5, "1": 1e0}, '
            '"at": {"0": "2025-01-10T00:30:00.000", "1": 1736469000}}',
            '{"columns": ["content", "score", "at"], "index": [0, 1], '
            '"data": [["na", 5, "2025-01-10T00:30:00.000"], [null, 1e0, 1736469000]]}',
            '{"content": "na", "score": 5, "at": "2025-01-10T00:30:00.000"}\n\n'
            '{"content": null, "score": 1e0, "at": {"$date": {"$numberLong": "1736469000"}}}\n',
        ],
    )
    def test_records_are_found_and_numbers_stay_as_they_are_written(self, read, content):
        assert rows(read(content)) == [["na", "5", "2025-01-10T00:30:00.000"], ["", "1e0", "1736469000"]]

    def test_records_need_not_have_the_same_names(self, read):
        table = read(
            '[{"content": "a", "score": 5, "at": "2025-01-10"}, {"at": "2025-01-11", "reply": {"text": "Halo"}}]'
        )
        assert table.cells.columns.tolist() == [*HEADER, "reply.text"]
        assert rows(table) == [["a", "5", "2025-01-10", ""], ["", "", "2025-01-11", "Halo"]]
        assert (table.cells.index.name, table.cells.index.tolist()) == ("record", [1, 2])

    def test_half_a_character_is_marked(self, read):
        table = read('[{"content": "a\\ud83d", "score": 5, "at": "2025-01-10"}]')
        assert table.cells["content"].tolist() == ["a�"]
        assert table.notes == ("record 1: half a character, kept as '�'",)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('[{"content": "a",}]', "damaged JSON (line 1"),
            ('{"content": "a"}\n{"content": "b"\n', "damaged JSON (line 2"),
            ('{"a": [{"content": "x"}], "b": [{"content": "y"}]}', "several lists of records (a, b)"),
            ("[1, 2]", "holds no records"),
            ("[]", "holds no records"),
            ("[" * 100_000, "JSON"),
        ],
    )
    def test_what_holds_no_records_is_refused(self, refusal, content, message):
        assert message in refusal(content)


def test_whole_numbers_beside_empty_cells_and_large_ids_keep_every_digit(tmp_path):
    table = pa.table(
        {"id": pa.array([2**60 + 1, None], pa.int64()), "score": pa.array([4.0, None]), "ok": [True, None]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert rows(read_table(tmp_path / "x.parquet")) == [[str(2**60 + 1), "4", "true"], ["", "", ""]]


def test_times_of_parquet_and_feather_stay_times(tmp_path):
    table = pa.table({"at": pd.to_datetime(["2025-01-13 14:05", None]), "day": pa.array([20101, None], pa.date32())})
    for write, name in ((pq.write_table, "x.parquet"), (pf.write_feather, "x.feather")):
        write(table, tmp_path / name)
        found = read_table(tmp_path / name).cells
        assert found["at"].iloc[0] == pd.Timestamp("2025-01-13 14:05")
        assert found["day"].tolist() == ["2025-01-13", ""]
        assert found.index.tolist() == [1, 2]
