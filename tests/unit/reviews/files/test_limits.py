"""Small files that ask for far more memory, columns or time than reviews need are refused."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.files.files import UnreadableFile, read_reviews
from mlops_assets.reviews.stored import columns
from tests.unit.reviews.files.workbook import workbook

HEADER = "content,score,at"
REVIEW = {"content": "x", "score": 5, "at": "2025-01-10"}
READ = """
import resource, sys
from pathlib import Path
from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files.files import read_reviews
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, hard))
for path in map(Path, sys.argv[1:]):
    try:
        read_reviews(path, app_id="com.a.b")
    except PermanentFailure as refused:
        print(refused)
"""


def parquet(table: pa.Table, write=pq.write_table, **options) -> bytes:
    sink = io.BytesIO()
    write(table, sink, **options)
    return sink.getvalue()


def repeated(value: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([value]))


def repeated_texts(rows: int = 20_000) -> pa.Table:
    return pa.table({"content": repeated("x" * 1_000_000, rows), "score": ["5"] * rows, "at": ["2025-01-10"] * rows})


def repeated_stored_texts(rows: int = 20_000) -> pa.Table:
    """The same in the form of stored reviews."""
    fields = {field.name: pa.nulls(rows, field.type) for field in columns.SCHEMA}
    return pa.table({**fields, "review_text": repeated("x" * 1_000_000, rows)})


def shared_string() -> bytes:
    """A workbook in which 8,000 cells are the same string of a megabyte."""
    packed = io.BytesIO()
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c><c r="B{n}"><v>5</v></c></row>' for n in range(2, 8_002)
    )
    with zipfile.ZipFile(io.BytesIO(workbook({"A": [["content", "score", "at"]]}))) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(
        b"</sheetData>", rows.encode() + b"</sheetData>"
    )
    parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
        b"</Relationships>",
        b'<Relationship Id="t" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"'
        b' Target="sharedStrings.xml"/></Relationships>',
    )
    parts["xl/sharedStrings.xml"] = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
        + b"x" * 1_000_000
        + b"</t></si></sst>"
    )
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def wide(names: int) -> dict[str, list[str]]:
    return {"content": ["x"], "score": ["5"], "at": ["2025-01-10"], **{f"c{n}": ["1"] for n in range(names)}}


def deep(levels: int) -> bytes:
    return b'[{"content": "x", "score": 5, "at": "2025-01-10", "tags": ' + b"[" * levels + b"]" * levels + b"}]"


TEXTS = {
    "columns.csv": (
        f"{HEADER},{',c' * 30_000}\nx,5,2025-01-10\n",
        "at least 30,004 columns, and tables of at most 1,000",
    ),
    "cell.csv": (
        f'{HEADER}\ny,5,2025-01-10\n"{"x" * 2_000_000}",5,2025-01-10\n',
        "characters in line 3, more than are",
    ),
    "row.csv": (HEADER + '\n"x' + '\n","' * 3_000_000, "has a row of more than 10,000,000 characters"),
    "line.csv": (HEADER + "\n" + "," * 20_000_000, "has a row of more than 10,000,000 characters"),
    "columns.json": (json.dumps([{**REVIEW, **{f"c{n}": 1 for n in range(5_000)}}]), "at most 1,000 columns"),
    "names.jsonl": ("\n".join(json.dumps({**REVIEW, f"c{n}": 1}) for n in range(5_000)), "at most 1,000 columns"),
    "cell.json": (json.dumps([REVIEW, {**REVIEW, "content": "x" * 2_000_000}]), "2,000,000 bytes in record 2, and"),
    "deep.json": (deep(500_000), "JSON of too many levels"),
    "less-deep.json": (deep(960), "too many levels"),
    "labels.json": (
        json.dumps(
            {**REVIEW, **{f"c{n}": {} for n in range(50_000)}}
            | {name: {f"r{n}": 1 for n in range(50_000)} for name in REVIEW}
        ),
        "at least 50,003 columns",
    ),
    "values.json": ("[" + "[]," * 60_000_000 + "[]]", "JSON of up to 120,000,002 values, and at most 50,000,000"),
    "blank.csv": (
        HEADER + "\n" * 6_000_000 + "x,5,2025-01-10\n",
        "at least 5,999,999 rows of 3 columns, and at most 5,000,000",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_larger_than_reviews_is_refused(refusal, name):
    content, message = TEXTS[name]
    assert message in refusal(content)


@pytest.mark.slow
def test_files_that_libraries_decode_cannot_take_more_memory_than_they_are_given(written):
    numbers = pa.array(np.zeros(6_000_000, dtype=np.int8))
    files = {
        "repeated.parquet": (parquet(repeated_texts()), "holds 19,073 MB, and files of at most 1,024 MB"),
        "repeated.feather": (parquet(repeated_texts(), pf.write_feather, compression="uncompressed"), "19,073 MB"),
        "stored.parquet": (parquet(repeated_stored_texts(), store_schema=False), "holds 19,073 MB"),
        "rows.parquet": (parquet(pa.table(dict.fromkeys(REVIEW, numbers))), "at most 5,000,000 rows"),
        "columns.parquet": (parquet(pa.table(wide(1_500))), "at most 1,000 columns"),
        "shared.xlsx": (shared_string(), "needs more than 4 GB of memory or 10 minutes"),
        "zeros.csv.gz": (gzip.compress(b"0" * 300 * 2**20, 1), "unpacks to more than 256 MB"),
    }
    paths = {name: written(content, name) for name, (content, _) in files.items()}
    reading = subprocess.run([sys.executable, "-c", READ, *paths.values()], capture_output=True, text=True, check=True)
    refusals = reading.stdout.splitlines()
    for (name, path), refusal in zip(paths.items(), refusals, strict=True):
        assert refusal.startswith(str(path))
        assert files[name][1] in refusal
    assert reading.stderr == ""


def test_a_folder_a_device_a_pipe_and_a_file_beyond_the_limit_are_not_read(tmp_path):
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(2**30 + 1)
    os.mkfifo(tmp_path / "pipe.csv")
    for path, message in [
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "is no regular file"),
        (tmp_path / "pipe.csv", "is no regular file"),
        (tmp_path / "large.csv", "holds 1,024 MB, and files of at most 1,024 MB are read: split it"),
    ]:
        with pytest.raises(UnreadableFile, match=message):
            read_reviews(path)
