"""The reviews on disk: one Parquet file per app and month, older versions beside them.

    <folder>/<app_id>/<YYYY-MM>.parquet            the newest version of each review, by the UTC month of its date
    <folder>/<app_id>/history/<YYYY-MM>.parquet    earlier versions of edited reviews

A change of several files is one transaction: the new files are staged in `.pending-…`, a commit marker is written, and
only then they are renamed into place. Killed before the marker, nothing happened; killed after it, the next access
finishes the renames. So a review that moves between months is never lost or doubled.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from mlops_assets.failures import TransientFailure
from mlops_assets.reviews.files import ids as file_ids
from mlops_assets.reviews.stored import columns, versions
from mlops_assets.reviews.stored.known_batches import KnownBatches
from mlops_assets.reviews.stored.privacy import Erased, mask_texts, review_digest

_MONTH_FILE = re.compile(r"\d{4}-\d{2}\.parquet")
pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

_MARKER = "commit.json"
LOCK_TIMEOUT_S = 60


@dataclass(frozen=True)
class StoredChanges:
    """How many reviews changed in the store and how, and which months' files changed.

    edited: the older version went to the history
    updated: only the reply, thumbs, version, author, source changed, or a date that was read in the wrong zone
    moved: into another month, also counted as edited or updated
    deleted: marked as vanished from the source
    outdated: older than the stored version, kept in the history
    """

    new: int = 0
    edited: int = 0
    updated: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    outdated: int = 0
    months: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Reviews that differ from what was stored."""
        return self.new + self.edited + self.updated + self.deleted

    def __add__(self, other: "StoredChanges") -> "StoredChanges":
        counts = {name: value + getattr(other, name) for name, value in vars(self).items() if name != "months"}
        return StoredChanges(**counts, months=tuple(sorted({*self.months, *other.months})))


class ReviewStore:
    """Reviews by app and month under one folder, safe against kills and against two writers."""

    def __init__(self, folder: Path, erased_in: Path | None = None) -> None:
        """`erased_in` is the folder with the list of what was erased, if that is another one."""
        self.folder, self._erased_in = folder, erased_in or folder

    @property
    def erased(self) -> Erased:
        """What was erased on request and is never stored again."""
        return Erased.load(self._erased_in)

    def apps(self) -> list[str]:
        """Apps with at least one month."""
        if not self.folder.is_dir():
            return []
        names = (entry.name for entry in self.folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        return sorted(name for name in names if self.months(name))

    def months(self, app_id: str) -> list[str]:
        """Months (YYYY-MM) that have a file, in order."""
        self._heal(app_id)
        return _months_in(self.folder / app_id)

    def path(self, app_id: str, month: str) -> Path:
        """The path of a month's file."""
        return self.folder / app_id / f"{month}.parquet"

    def history_path(self, app_id: str, month: str) -> Path:
        """The path of a month's older versions."""
        return self.folder / app_id / "history" / f"{month}.parquet"

    def count(self, app_id: str) -> int:
        """Reviews of all months, deleted ones included, from the files' footers."""
        return sum(pq.read_metadata(self.path(app_id, month)).num_rows for month in self.months(app_id))

    def read(self, app_id: str, month: str) -> pd.DataFrame:
        """The month's rows, deleted ones included; no rows if there is no file."""
        self._heal(app_id)
        return _read(self.path(app_id, month))

    def read_history(self, app_id: str, month: str) -> pd.DataFrame:
        """Older versions dated in the month; no rows if there are none."""
        self._heal(app_id)
        return _read(self.history_path(app_id, month))

    def upsert(self, app_id: str, rows: pd.DataFrame) -> StoredChanges:
        """Store `rows` of one app by review_id over all its months; newest version wins. All of it or nothing.

        What was erased on request is left out and personal data is masked, wherever the rows come from.
        """
        incoming = mask_texts(_without_erased(columns.conform(rows), self.erased))
        strangers = sorted(set(incoming["app_id"]) - {app_id})
        if strangers:
            raise ValueError(f"rows of {', '.join(strangers)} given to the store of {app_id}: split them by app first")
        if incoming.empty:
            return StoredChanges()
        with self.writing(app_id):
            stored = self._table_of(app_id, set(incoming["review_id"]))
            if stored.num_rows == len(incoming) and columns.sort_table(stored).equals(columns.to_table(incoming)):
                return StoredChanges(unchanged=len(incoming))
            merged = versions.merge(columns.to_frame(stored), incoming)
            changed = self._replace(app_id, merged.written, merged.history)
        return StoredChanges(**merged.counts, months=changed)

    def take_batch(self, app_id: str, rows: pd.DataFrame, *, content_ids: bool = False) -> StoredChanges:
        """`upsert` of rows that their source brings whole each time, after `give_content_ids` if that is asked for.

        A batch that changed nothing, or was all new, is kept by its digest. While neither it nor the app's files
        change, it is not compared with them again.
        """
        known = KnownBatches(self.folder, app_id, self._erased_in)
        batch = known.digest(rows)
        if batch in known:
            return StoredChanges(unchanged=len(rows))
        renamed = self.give_content_ids(app_id) if content_ids else ()
        changes = self.upsert(app_id, rows)
        if not renamed and (not changes.months or changes.new == len(rows)):
            known.add(batch)
        return changes + StoredChanges(months=renamed)

    def give_content_ids(self, app_id: str) -> tuple[str, ...]:
        """Give reviews of files that are stored under a row number the id that reading their file gives them; the
        months that changed. Older versions of a review are renamed with it.

        Each file numbers its rows anew, so under such a number stands whatever review was read last.
        """
        with self.writing(app_id):
            base, staged = self.folder / app_id, dict[str, pa.Table]()
            for name in [
                *(f"{month}.parquet" for month in _months_in(base)),
                *(f"history/{month}.parquet" for month in _months_in(base / "history")),
            ]:
                ids = columns.read_table(base / name, ["review_id"])["review_id"]
                if not pc.any(pc.match_substring_regex(ids, file_ids.WHOLE_ROW_NUMBER)).as_py():
                    continue
                rows = columns.read_frame(base / name)
                renamed = file_ids.with_content_ids(rows)
                if renamed is not rows:
                    once = renamed.drop_duplicates(["review_id"] if "/" not in name else ["review_id", *versions.FORM])
                    staged[name] = columns.to_table(columns.conform(once))
            self._commit(app_id, staged)
        return tuple(name.removesuffix(".parquet") for name in staged if "/" not in name)

    def mark_deleted(self, app_id: str, review_ids: Collection[str], at: datetime) -> int:
        """Mark reviews as vanished from the store at `at`; how many were not marked before."""
        with self.writing(app_id):
            rows = columns.to_frame(self._table_of(app_id, set(review_ids)))
            rows = rows[rows["deleted_at"].isna()]
            if rows.empty:
                return 0
            self._replace(
                app_id, rows.assign(deleted_at=pd.Timestamp(at).tz_convert("UTC").as_unit("us")), columns.empty()
            )
            return len(rows)

    def erase(self, app_id: str, review_ids: Collection[str]) -> int:
        """Remove reviews from every month and from the history; how many rows went."""
        ids = pa.array(sorted(review_ids), pa.string())
        removed, staged = 0, dict[str, pa.Table]()
        with self.writing(app_id):
            base = self.folder / app_id
            paths = [self.path(app_id, month) for month in _months_in(base)]
            paths += [self.history_path(app_id, month) for month in _months_in(base / "history")]
            for path in paths:
                hit = pc.is_in(columns.read_table(path, ["review_id"])["review_id"], value_set=ids)
                count = pc.sum(hit).as_py() or 0
                if count:
                    staged[path.relative_to(base).as_posix()] = columns.read_table(path).filter(pc.invert(hit))
                    removed += count
            self._commit(app_id, staged)
        return removed

    def _table_of(self, app_id: str, review_ids: set[str]) -> pa.Table:
        """Stored rows of these reviews; reads whole only the months that hold one."""
        ids = pa.array(sorted(review_ids), pa.string())
        found: list[pa.Table] = []
        for month in _months_in(self.folder / app_id):
            path = self.path(app_id, month)
            hit = pc.is_in(columns.read_table(path, ["review_id"])["review_id"], value_set=ids)
            if pc.any(hit).as_py():
                found.append(columns.read_table(path).filter(hit))
        return pa.concat_tables(found) if found else columns.SCHEMA.empty_table()

    def _replace(self, app_id: str, rows: pd.DataFrame, history: pd.DataFrame) -> tuple[str, ...]:
        """Put `rows` in place of whatever the store holds of these reviews; the months that changed."""
        base = self.folder / app_id
        staged: dict[str, pa.Table] = {}
        ids = pa.array(rows["review_id"].tolist(), pa.string())
        by_month = {str(month): group for month, group in rows.groupby(columns.month_of(rows["review_date"]))}
        for month in sorted({*_months_in(base), *by_month}):
            path = self.path(app_id, month)
            kept, had = columns.SCHEMA.empty_table(), 0
            if path.exists():
                hit = pc.is_in(columns.read_table(path, ["review_id"])["review_id"], value_set=ids)
                had = pc.sum(hit).as_py() or 0
                if not had and month not in by_month:
                    continue
                kept = columns.read_table(path).filter(pc.invert(hit))
            added = columns.to_table(by_month[month]) if month in by_month else columns.SCHEMA.empty_table()
            staged[path.name] = columns.sort_table(pa.concat_tables([kept.cast(columns.SCHEMA), added]))
        changed = tuple(name.removesuffix(".parquet") for name in staged)
        for month, group in history.groupby(columns.month_of(history["review_date"])):
            path = self.history_path(app_id, str(month))
            before = _read(path)
            masked = versions.with_masks_of(before, group)
            after = columns.conform(pd.concat([masked, group]).drop_duplicates(["review_id", *versions.FORM]))
            if len(after) > len(before) or masked is not before:
                staged[f"history/{path.name}"] = columns.to_table(after)
        self._commit(app_id, staged)
        return changed

    def _commit(self, app_id: str, staged: Mapping[str, pa.Table]) -> None:
        if not staged:
            return
        pending = self.folder / app_id / f".pending-{uuid.uuid4().hex}"
        for name, table in staged.items():
            columns.write_table(table, pending / name)
        marker = pending / f"{_MARKER}.partial"
        with marker.open("w", encoding="utf-8") as file:
            json.dump(sorted(staged), file)
            file.flush()
            os.fsync(file.fileno())
        marker.replace(pending / _MARKER)
        columns.sync_folder(pending)
        _finish(pending)

    @contextmanager
    def writing(self, app_id: str) -> Iterator[None]:
        """Only one writer per app; what a killed writer left behind is finished or discarded first."""
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{app_id}.lock", timeout=LOCK_TIMEOUT_S)
        try:
            lock.acquire()
        except Timeout:
            raise TransientFailure(
                f"{lock.lock_file} is held for over {LOCK_TIMEOUT_S} s: wait for the run that writes {app_id}"
            ) from None
        try:
            for pending in sorted((self.folder / app_id).glob(".pending-*")):
                if (pending / _MARKER).exists():
                    _finish(pending)
                else:
                    shutil.rmtree(pending)
            yield
        finally:
            lock.release()

    def _heal(self, app_id: str) -> None:
        """Finish a transaction that a killed writer had committed."""
        if any((self.folder / app_id).glob(f".pending-*/{_MARKER}")):
            with self.writing(app_id):
                pass


def _finish(pending: Path) -> None:
    base = pending.parent
    for name in json.loads((pending / _MARKER).read_text(encoding="utf-8")):
        if (pending / name).exists():
            (base / name).parent.mkdir(exist_ok=True)
            (pending / name).replace(base / name)
    for folder in (base, base / "history"):
        if folder.is_dir():
            columns.sync_folder(folder)
    shutil.rmtree(pending)


def _months_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.stem for entry in folder.iterdir() if _MONTH_FILE.fullmatch(entry.name))


def _without_erased(rows: pd.DataFrame, erased: Erased) -> pd.DataFrame:
    if not (erased.reviews or erased.authors):
        return rows
    gone = rows["review_id"].map(lambda review_id: review_digest(str(review_id)) in erased.reviews).astype(bool)
    return pd.DataFrame(rows[~(gone | rows["author"].isin(erased.authors))])


def _read(path: Path) -> pd.DataFrame:
    return columns.read_frame(path) if path.exists() else columns.empty()
