"""Which stored files make up a data version."""

import json
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from mlops_assets.files import stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.reviews.stored.privacy import ERASED

PROVENANCE: Mapping[str, frozenset[str]] = {
    "sample": frozenset({"sample"}),
    "file": frozenset({"file", "import"}),
    "play_store": frozenset({"play_store", "import"}),
}
"""By the run's source, the rows that its data version holds: its own, and for real apps what a person imported."""

_SOURCES = "sources.json"


def take_snapshot(folder: Path, source: str, apps: Collection[str], scratch: Path) -> dict[str, Path]:
    """The month files below `folder` that hold rows of the source's provenance, for these apps: by relative name
    (`<app_id>/<YYYY-MM>.parquet`).

    A file that holds other rows too is filtered into `scratch`; the original stays as it is. The list of what was
    erased comes along, so that nothing of it is collected or restored in another clone.
    """
    wanted = PROVENANCE[source]
    known = Kept(scratch / _SOURCES)
    files: dict[str, Path] = {}
    for path in sorted(path for app in apps for path in (folder / app).rglob("*.parquet")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        sources = set(known.of(name, list(stamp(path)), partial(_sources, path)))
        if sources and sources <= wanted:
            files[name] = path
        elif sources & wanted:
            files[name] = _filtered(path, scratch / name, wanted)
    known.save()
    if (folder / ERASED).is_file():
        files[ERASED] = folder / ERASED
    return files


def _sources(path: Path) -> list[str]:
    return sorted(_only_source(path) or _all_sources(path))


def _only_source(path: Path) -> set[str]:
    """The source of all rows by the file's statistics; empty if there is no such single source."""
    metadata: Any = pq.read_metadata(path)
    index = metadata.schema.to_arrow_schema().get_field_index("source")
    seen: set[str] = set()
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(index).statistics
        if statistics is None or statistics.min != statistics.max:
            return set()
        seen.add(statistics.min)
    return seen


def _all_sources(path: Path) -> set[str]:
    return set(columns.read_table(path, ["source"])["source"].unique().to_pylist())


def _filtered(path: Path, target: Path, wanted: Collection[str]) -> Path:
    """The rows of `path` with a wanted source, written to `target` once per content of `path`."""
    made_of = json.dumps([*stamp(path), sorted(wanted)])
    record = target.with_suffix(".made-of")
    if not (target.exists() and record.exists() and record.read_text(encoding="utf-8") == made_of):
        rows = columns.read_frame(path)
        columns.write_table(columns.to_table(pd.DataFrame(rows[rows["source"].isin(wanted)])), target)
        record.write_text(made_of, encoding="utf-8")
    return target
