"""Which stored files make up a data version, and the frame that models are trained on."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import ERASED

if TYPE_CHECKING:
    from mlops_assets.params.choices import LabelRule

PROVENANCE: Mapping[str, frozenset[str]] = {
    "sample": frozenset({"sample"}),
    "file": frozenset({"file", "import"}),
    "play_store": frozenset({"play_store", "import"}),
}
"""By the run's source, the rows that its data version holds: its own, and for real apps what a person imported."""


@dataclass(frozen=True)
class Snapshot:
    """Relative name (`<app_id>/<YYYY-MM>.parquet`) -> file, of one run's source and apps."""

    files: Mapping[str, Path]


def take_snapshot(folder: Path, source: str, apps: Collection[str], scratch: Path) -> Snapshot:
    """The month files below `folder` that hold rows of the source's provenance, for these apps.

    A file that holds other rows too is filtered into `scratch`; the original stays as it is. The list of what was
    erased comes along, so that nothing of it is collected or restored in another clone.
    """
    wanted = PROVENANCE[source]
    files: dict[str, Path] = {}
    for path in sorted(path for app in apps for path in (folder / app).rglob("*.parquet")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        sources = _sources_of(path)
        if sources and sources <= wanted:
            files[name] = path
        elif sources & wanted:
            files[name] = _filtered(path, scratch / name, wanted)
    if (folder / ERASED).is_file():
        files[ERASED] = folder / ERASED
    return Snapshot(files)


def read_source(folder: Path, source: str | None, apps: Collection[str]) -> pd.DataFrame:
    """Every row below `folder` that a version of this source (None: any) and these apps would hold.

    Columns are as found: what they must be is for the caller to judge.
    """
    paths = [path for app in apps for path in sorted((folder / app).glob("*.parquet"))]
    frames = [columns.read_rows(path).to_pandas() for path in paths]
    if source is not None:
        frames = [rows[rows["source"].isin(PROVENANCE[source])] if "source" in rows else rows for rows in frames]
    frames = [rows for rows in frames if len(rows)]
    return pd.concat(frames, ignore_index=True) if frames else columns.empty()


def data_summary(frame: pd.DataFrame) -> dict[str, Any]:
    """What the list of versions tells of one: rows by app, months, labels; `frame` is a training frame."""
    return {
        "rows": {str(app): int(count) for app, count in frame["app_id"].value_counts().sort_index().items()},
        "months": [f"{frame['review_date'].min():%Y-%m}", f"{frame['review_date'].max():%Y-%m}"] if len(frame) else [],
        "labels": {str(label): int(count) for label, count in frame["label"].value_counts().sort_index().items()},
    }


def training_frame(validated: Path, label_rule: "LabelRule", percents: Mapping[str, float]) -> pd.DataFrame:
    """The labelled reviews below `validated` with their sides, sorted by review_date and review_id.

    Columns: review_id, app_id, review_text, rating, review_date, app_version, source, label, side.
    """
    from mlops_assets.reviews.stored.label import add_labels
    from mlops_assets.reviews.stored.split import add_sides

    kept = ["review_id", "app_id", "review_text", "rating", "review_date", "app_version", "source"]
    frames = [pd.DataFrame(columns.read_frame(path)[kept]) for path in sorted(validated.glob("*/*.parquet"))]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns.empty()[kept])
    labelled = add_sides(add_labels(rows, label_rule), percents)
    return labelled.sort_values(["review_date", "review_id"], kind="stable", ignore_index=True)


def _sources_of(path: Path) -> set[str]:
    """The distinct values of `source`, from the file's statistics where they tell."""
    metadata: Any = pq.read_metadata(path)
    index = metadata.schema.to_arrow_schema().get_field_index("source")
    seen: set[str] = set()
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(index).statistics
        if statistics is None or statistics.min != statistics.max:
            return set(columns.read_table(path, ["source"])["source"].unique().to_pylist())
        seen.add(statistics.min)
    return seen


def _filtered(path: Path, target: Path, wanted: Collection[str]) -> Path:
    """The rows of `path` with a wanted source, written to `target` once per content of `path`."""
    digest = hashlib.sha256(path.read_bytes() + repr(sorted(wanted)).encode()).hexdigest()
    stamp = target.with_suffix(".sha256")
    if not (target.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest):
        rows = columns.read_frame(path)
        columns.write_table(columns.to_table(pd.DataFrame(rows[rows["source"].isin(wanted)])), target)
        stamp.write_text(digest, encoding="utf-8")
    return target
