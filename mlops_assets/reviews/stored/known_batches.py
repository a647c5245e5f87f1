"""Batches of rows that the stored files of an app hold already, so that an idle run reads none of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mlops_assets.files import replace_file, stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.kept import read_record
from mlops_assets.reviews.stored.privacy import ERASED

_MOST_KEPT = 5


class KnownBatches:
    """The digests of batches, with the stamps of the app's files and of the list of erased reviews at that time."""

    def __init__(self, folder: Path, app_id: str, erased_in: Path | None = None) -> None:
        self._folder, self._app, self._erased = folder, folder / app_id, (erased_in or folder) / ERASED
        self._path = self._app / ".batches.json"

    def digest(self, rows: pd.DataFrame) -> str:
        """A digest of the rows in the stored form."""
        sink = pa.BufferOutputStream()
        table = columns.to_table(columns.conform(rows))
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def __contains__(self, batch: str) -> bool:
        kept = self._kept()
        return batch in kept["batches"] and kept["files"] == self._files()

    def add(self, batch: str) -> None:
        kept, files = self._kept(), self._files()
        before = kept["batches"] if kept["files"] == files else []
        replace_file(self._path, json.dumps({"files": files, "batches": [*before, batch][-_MOST_KEPT:]}))

    def _kept(self) -> dict[str, Any]:
        return read_record(self._path) or {"files": None, "batches": []}

    def _files(self) -> list[list[object]]:
        return stored_files(self._folder, self._app.name, self._erased)


def stored_files(folder: Path, app_id: str, erased: Path | None = None) -> list[list[object]]:
    """Name and stamp of everything that decides what an upsert of an app's rows does, what a killed writer left
    included. `erased` is the list of what was erased, by default the one in `folder`.
    """
    app = folder / app_id
    found = [*app.rglob("*.parquet"), *app.glob(".pending-*"), erased or folder / ERASED]
    return [[os.path.relpath(path, folder), *stamp(path)] for path in sorted(found) if path.exists()]
