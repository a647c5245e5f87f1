"""From a file's bytes to cells; its content says in which form it is, not its name.

Not here: which columns are reviews (columns.py), what cells mean (values.py).
"""

import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from mlops_assets.child_process import run_child
from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files.tables import csv as table_csv
from mlops_assets.reviews.files.tables import json as table_json
from mlops_assets.reviews.files.tables import text as file_text
from mlops_assets.reviews.files.tables.cells import NoTable, require_bytes
from mlops_assets.reviews.stored import columns

_FORMS = "CSV, Excel, JSON, JSON lines, Parquet or Feather, also packed with gzip"
_ZIP, _OLE, _GZIP, _PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x1f\x8b", b"PAR1"
_WORKBOOK, _ARROW = (_ZIP, _OLE), (_PARQUET, b"ARROW1", b"FEA1")
_OTHERS = {
    b"%PDF": "is a PDF: export the table itself as CSV",
    b"BZh": "is packed with bzip2: unpack it",
    b"\xfd7zXZ": "is packed with xz: unpack it",
    b"\x28\xb5\x2f\xfd": "is packed with zstd: unpack it",
    b"7z\xbc\xaf": "is packed with 7z: unpack it",
    b"Rar!": "is packed with rar: unpack it",
    b"SQLite format 3": "is a database: export the table as CSV",
}
_MOST_MEMORY = 4 * 2**30
_MOST_SECONDS = 600
_REFUSED, _TOO_LARGE = 3, 4  # exit codes of the child
_ABOUT = b"about"
_WEB = (b"<!doctype", b"<html", b"<table", b"<?xml")


class UnreadableFile(PermanentFailure):
    """The file is missing, empty, or no table in a known form."""


@dataclass(frozen=True)
class Table:
    """A file's cells, every one a str, "" where empty, except typed datetime columns of Parquet and Feather.

    The index is the row's number as a person finds it: the first line in a text file (the header is 1), the row in a
    workbook, the record in JSON, the row in Parquet and Feather, all from 1. Its name is what is counted: line, row or
    record. Blank rows are left in.
    form: what was assumed, as one phrase: "CSV in UTF-8, separated by ';'"
    notes: what was repaired or left out, one line each
    """

    cells: pd.DataFrame
    form: str
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """The file's cells. Raises `UnreadableFile`."""
    with _refused_by_name(path):
        content = _read_bytes(path)
        packed = content.startswith(_GZIP)
        if packed:
            content = file_text.unpacked(content)
        table = _decode_apart(content) if content.startswith((*_WORKBOOK, *_ARROW)) else decode(content)
    return replace(table, form=f"{table.form}, packed with gzip") if packed else table


def read_stored(path: Path) -> pd.DataFrame | None:
    """The rows of a file that is in the form of stored reviews, else None. Raises `UnreadableFile`."""
    if not path.is_file() or columns.schema_changes(path):
        return None
    from mlops_assets.reviews.files.tables import arrow as table_arrow

    with _refused_by_name(path):
        return columns.to_frame(table_arrow.read_parquet(_read_bytes(path)))


@contextmanager
def _refused_by_name(path: Path) -> Iterator[None]:
    """`NoTable` as `UnreadableFile`, which names the file."""
    try:
        yield
    except NoTable as reason:
        raise UnreadableFile(f"{path} {reason}") from reason


def _read_bytes(path: Path) -> bytes:
    """The file as it is on the disk. Raises `NoTable`."""
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise NoTable("is a folder: give the files inside, or move them out of it")
        if not stat.S_ISREG(about.st_mode):
            raise NoTable(f"is no regular file: give the path of a file with reviews ({_FORMS})")
        require_bytes(about.st_size)
        return path.read_bytes()
    except FileNotFoundError:
        raise NoTable(f"does not exist: give the path of a file with reviews ({_FORMS})") from None
    except OSError as error:
        raise NoTable(f"cannot be read ({error.strerror}): give a readable file with reviews ({_FORMS})") from error


def decode(content: bytes) -> Table:
    """The cells of a file's unpacked content, in this process. Raises `NoTable`."""
    if not content.strip():
        raise NoTable("is empty: give a file with a header and reviews")
    for start, reason in _OTHERS.items():
        if content.startswith(start):
            raise NoTable(reason)
    if content.startswith(_WORKBOOK):
        from mlops_assets.reviews.files.tables import excel as table_excel

        if content.startswith(_ZIP) and not table_excel.is_workbook(content):
            raise NoTable("is a zip file: unpack it, and give the files inside")
        return Table(*table_excel.read_workbook(content))
    if content.startswith(_ARROW):
        from mlops_assets.reviews.files.tables import arrow as table_arrow

        return Table(*table_arrow.read_arrow(content, "Parquet" if content.startswith(_PARQUET) else "Feather"))
    text = file_text.decode(content)
    if text is None or content.startswith(_GZIP):
        raise NoTable(f"is in no form that can be read ({_FORMS}): save it as CSV in UTF-8")
    require_bytes(len(text.content))
    if text.content.lstrip()[:9].lower().startswith(_WEB):
        raise NoTable("is a web page or XML, not a table: save it as CSV in UTF-8")
    if table_json.looks_like_json(text.content):
        return Table(*table_json.read_json(text))
    return Table(*table_csv.read_csv(text))


def _decode_apart(content: bytes) -> Table:
    """`decode` in a process whose memory and time are bounded, for forms that libraries in C++ and Rust decode.

    A few bytes can tell them to repeat or unpack a value to any size, and no check beforehand sees each way to do so.
    """
    child = run_child([sys.executable, "-P", "-m", __name__], stdin=content)
    if child.returncode == 0:
        table = pa.ipc.open_stream(child.stdout).read_all()
        about = json.loads(table.schema.metadata[_ABOUT])
        return Table(table.to_pandas(), about["form"], tuple(about["notes"]))
    if child.returncode == _REFUSED:
        raise NoTable(child.stderr.decode())
    if child.returncode == _TOO_LARGE or child.returncode < 0:
        by = f" (ended by {signal.Signals(-child.returncode).name})" if child.returncode < 0 else ""
        raise NoTable(
            f"needs more than {_MOST_MEMORY // 2**30} GB of memory or {_MOST_SECONDS // 60} minutes to be read{by}, "
            "more than reviews do: save it as CSV in UTF-8"
        )
    last_line = (child.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    raise NoTable(f"cannot be decoded ({last_line[:200]}): save it again, or as CSV in UTF-8")


def _child() -> int:
    """What `_decode_apart` starts: a file's content from stdin, an Arrow stream of its cells to stdout."""
    content = sys.stdin.buffer.read()
    # One thread: each thread reserves memory that counts. Arrow's own pools reserve gigabytes at a time.
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":  # macOS has no such limit
        in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, in_use + _MOST_MEMORY)
    _limit(resource.RLIMIT_CPU, _MOST_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        found = decode(content)
        table = pa.Table.from_pandas(found.cells)
        about = json.dumps({"form": found.form, "notes": found.notes}).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _ABOUT: about})
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as sink:
            sink.write_table(table)
    except MemoryError:
        return _TOO_LARGE
    except NoTable as reason:
        sys.stderr.buffer.write(str(reason).encode())
        return _REFUSED
    return 0


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    code = _child()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Threads of the libraries can crash a process that takes itself apart, after all is written.
