"""The month files of a folder of reviews, and the keys of their texts, from which labels and sides follow unread."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.files import Stamp, stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.text import TEXT_VERSION, text_key

COLUMNS = ("review_id", "app_id", "review_text", "rating", "review_date", "app_version", "source")
"""What models and claims need of a review."""

_MADE_OF, _SOURCES = b"made_of", b"sources"
_KEYS = pa.schema([pa.field("key", pa.int64(), nullable=False), pa.field("rating", pa.int8(), nullable=False)])


@dataclass(frozen=True)
class MonthKeys:
    """Of each review of a file, in its order: the key of its text, and its stars (0 without any)."""

    keys: np.ndarray  # (n,) int64
    ratings: np.ndarray  # (n,) int8
    sources: tuple[str, ...] = ()
    """Where the reviews came from: `file`, `play_store` and so on."""

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """Of a table with review_text, rating and source."""
        texts = table["review_text"].combine_chunks().dictionary_encode()
        of_text = np.array([text_key(text) for text in texts.dictionary.to_pylist()], dtype=np.int64)
        ratings = table["rating"].fill_null(0).to_numpy().astype(np.int8)
        return cls(of_text[texts.indices.to_numpy()], ratings, tuple(sorted(table["source"].unique().to_pylist())))

    @classmethod
    def together(cls, months: Sequence["MonthKeys"]) -> Self:
        """Those of several files, one after the other."""
        if not months:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int8))
        sources = sorted({source for month in months for source in month.sources})
        keys, ratings = ([month.keys for month in months], [month.ratings for month in months])
        return cls(np.concatenate(keys), np.concatenate(ratings), tuple(sources))


class _Remembered:
    """Tables by the stamps of their files. A run's steps usually share a process, and ask for the same months."""

    def __init__(self, most_bytes: int = 256_000_000) -> None:
        """By default about 2,000,000 reviews of the usual length."""
        self._most_bytes, self._bytes = most_bytes, 0
        self._tables: OrderedDict[Stamp, pa.Table] = OrderedDict()
        self._same: dict[Stamp, Stamp] = {}

    def get(self, key: Stamp) -> pa.Table | None:
        key = self._same.get(key, key)
        if key in self._tables:
            self._tables.move_to_end(key)
        return self._tables.get(key)

    def keep(self, key: Stamp, table: pa.Table) -> None:
        self._tables[key] = table
        self._bytes += table.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._tables.popitem(last=False)[1].nbytes

    def keep_also_as(self, key: Stamp, other: Stamp) -> None:
        self._same[other] = self._same.get(key, key)


_remembered = _Remembered()


def files_below(folder: Path) -> dict[str, Path]:
    """The month files of a folder of reviews by relative name (`<app_id>/<YYYY-MM>.parquet`)."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("*/*.parquet"))}


def content_key(files: Mapping[str, Path]) -> str:
    """Changes when a file is written, added or removed; the files are not read for it."""
    return hashlib.sha256(repr([(name, *stamp(path)) for name, path in sorted(files.items())]).encode()).hexdigest()


def read(path: Path) -> pa.Table:
    """The reviews of a file: the `COLUMNS` that exist. The caller judges what must exist."""
    key = stamp(path)
    if (known := _remembered.get(key)) is None:
        found = pq.read_schema(path).names
        known = columns.read_rows(path, [name for name in COLUMNS if name in found])
        _remembered.keep(key, known)
    return known


def read_some(path: Path, names: Collection[str]) -> pa.Table:
    """Some of the `COLUMNS` of a file: remembered from `read`, else read without the others, and not remembered."""
    known = _remembered.get(stamp(path))
    return columns.read_rows(path, names) if known is None else known.select(list(names))


def are_copies(files: Mapping[str, Path], copies: Mapping[str, Path]) -> None:
    """Record that `copies` are equal to `files`, so that they are not read again."""
    for name in files.keys() & copies.keys():
        _remembered.keep_also_as(stamp(files[name]), stamp(copies[name]))


def keys(path: Path, folder: Path) -> MonthKeys:
    """The keys of a file of reviews: from `folder`, where they are put if they are not there or of an older file.

    Raises `UnknownColumns` if the file does not have the columns of a stored review.
    """
    kept, made_of = folder / path.parent.name / path.name, json.dumps([*stamp(path), TEXT_VERSION]).encode()
    about = (pq.read_metadata(kept).metadata or {}) if kept.is_file() else {}
    if about.get(_MADE_OF) == made_of:
        table = pq.read_table(kept)
        sources = tuple(json.loads(about[_SOURCES]))
        return MonthKeys(table["key"].to_numpy(), table["rating"].to_numpy(), sources)
    columns.require_schema(path)
    found = MonthKeys.of(read(path))
    table = pa.table({"key": found.keys, "rating": found.ratings}, schema=_KEYS)
    columns.write_table(table, kept, about={_MADE_OF: made_of, _SOURCES: json.dumps(found.sources).encode()})
    return found
