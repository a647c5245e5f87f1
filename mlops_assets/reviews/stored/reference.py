"""Reviews of reference apps on disk: where they lie, and which of them make up a data version.

They lie apart from the apps' own, below `data/reference` in the same folders, so nothing that reads the apps' reviews
meets them.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.files import stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore


def reference_folder(data: Path) -> Path:
    """The folder of the reference apps' reviews, with `raw`, `validated` and `quarantine` like `data` itself."""
    return data / "reference"


def reference_store(data: Path) -> ReviewStore:
    """The raw reviews of reference apps. What was erased is one list for all reviews."""
    return ReviewStore(reference_folder(data) / "raw", erased_in=data / "raw")


@dataclass(frozen=True)
class ReferenceFiles:
    """What a version holds of reference apps: files by relative name (`<app_id>/<YYYY-MM>.parquet`), reviews by app."""

    raw: dict[str, Path]
    validated: dict[str, Path]
    rows: dict[str, int]


def newest_reviews(folder: Path, apps: Collection[str], most: int, scratch: Path) -> ReferenceFiles:
    """The `most` newest usable reviews of each app below `folder`, and the raw files of their months.

    The oldest month is cut to size in `scratch`; the stored file stays as it is.
    """
    found = ReferenceFiles({}, {}, {})
    for app in sorted(apps):
        wanted = most
        for path in sorted((folder / "validated" / app).glob("*.parquet"), reverse=True):
            if not wanted:
                break
            name, rows = f"{app}/{path.name}", columns.row_count(path)
            found.validated[name] = path if rows <= wanted else _newest_of(path, wanted, scratch / name)
            found.raw[name] = folder / "raw" / name
            wanted -= min(rows, wanted)
        if wanted < most:
            found.rows[app] = most - wanted
    return found


def _newest_of(path: Path, rows: int, target: Path) -> Path:
    """The newest rows of a file, written to `target` once per content of `path`."""
    made_of = json.dumps([*stamp(path), rows])
    record = target.with_suffix(".made-of")
    if not (target.exists() and record.exists() and record.read_text(encoding="utf-8") == made_of):
        table = columns.sort_table(columns.read_table(path))
        columns.write_table(table.slice(table.num_rows - rows), target)
        record.write_text(made_of, encoding="utf-8")
    return target
