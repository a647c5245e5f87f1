"""The newest reviews of all month files, kept on disk: only files that changed are read for them."""

import json
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.code_version import code_version
from mlops_assets.files import stamp
from mlops_assets.reviews.stored import columns, months
from mlops_assets.reviews.stored.usable import read_usable

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

NAME = "newest_reviews.parquet"
"""In Dagster's folder. It holds texts of people: `make erase` deletes it, and the next run makes it again."""

_MADE_OF, _FILE = b"made_of", "file"
_KEPT_FOR_EACH = 2
"""Reviews kept for each one that is asked for. The spare ones step in for reviews that vanish or change their date."""

Stamps = dict[str, list[int]]


def newest_reviews(files: Mapping[str, Path], count: int, kept: Path) -> pd.DataFrame:
    """The `count` newest reviews of the files (`<app_id>/<YYYY-MM>.parquet`), in order of date and id.

    `kept` holds more of them and the stamps of the files that they were chosen from: of a file that did not change, all
    reviews from the oldest kept one on are in it.
    """
    if not files:
        return read_usable(files)
    before, stamps = _read(kept)
    table, now = _candidates(files, count, before, stamps)
    if before is not None and len(before):
        oldest_kept = _place(before, 0)
        too_few = len(table) < count and len(now) < len(files)
        if too_few or (len(table) and _place(table, max(0, len(table) - count)) < oldest_kept):
            # So many of the kept reviews are gone that unchanged files may have newer ones that are not kept.
            table, now = _candidates(files, count, None, {})
        else:
            table = table.slice(bisect_left(range(len(table)), oldest_kept, key=partial(_place, table)))
    pool = _last(table, count * _KEPT_FOR_EACH)
    if now != stamps or not pool.equals(before):
        about = json.dumps({"code": code_version(__name__), "stamps": now}).encode()
        columns.write_table(pool, kept, about={_MADE_OF: about})
    return columns.to_frame(_last(pool, count).drop_columns(_FILE))


def _candidates(
    files: Mapping[str, Path], count: int, before: pa.Table | None, stamps: Stamps
) -> tuple[pa.Table, Stamps]:
    """At least `count` reviews in order, and the stamps of their files; from the newest month back, in whole months.

    They are fewer if there are no more, or none more in the months that the kept ones (`before`) are of.
    """
    first_month = f"{_place(before, 0)[0]:%Y-%m}" if before is not None and len(before) else ""
    parts = [] if before is None else [before.slice(0, 0)]
    now: Stamps = {}
    found, last = 0, ""
    for name, path in sorted(files.items(), key=lambda file: file[1].stem, reverse=True):
        if (found >= count and path.stem != last) or path.stem < first_month:
            break
        now[name], last = list(stamp(path)), path.stem
        if before is not None and stamps.get(name) == now[name]:
            part = before.filter(pc.equal(before[_FILE], name))
        else:
            part = _last(columns.sort_table(months.read(path)), count * _KEPT_FOR_EACH)
            part = part.append_column(_FILE, pa.repeat(pa.scalar(name, pa.string()), len(part)))
        parts.append(part)
        found += len(part)
    return columns.sort_table(pa.concat_tables(parts, promote_options="default")), now


def _last(table: pa.Table, count: int) -> pa.Table:
    return table.slice(max(0, len(table) - count)).combine_chunks()


def _place(table: pa.Table, row: int) -> tuple[datetime, str]:
    """Where a review stands in the order by date and id."""
    return table["review_date"][row].as_py(), table["review_id"][row].as_py()


def _read(kept: Path) -> tuple[pa.Table | None, Stamps]:
    with suppress(OSError, ValueError, TypeError, KeyError):  # Absent or damaged: every file is read.
        table = pq.read_table(kept)
        about = json.loads(table.schema.metadata[_MADE_OF])
        if about["code"] == code_version(__name__):
            return table.replace_schema_metadata(), about["stamps"]
    return None, {}
