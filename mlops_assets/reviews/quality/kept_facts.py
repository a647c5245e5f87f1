"""The facts about each month's usable reviews, kept on disk: only files that changed are read for the claims."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from mlops_assets.code_version import code_version
from mlops_assets.files import stamp
from mlops_assets.params.choices import LabelRule
from mlops_assets.reviews.quality.claims import ReviewFacts
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.reviews.stored.usable import read_usable

_AT_ONCE = 100
"""Files that are read together: as many reviews as fit into memory."""


def facts_of(files: Mapping[str, Path], rule: LabelRule, kept: Path) -> ReviewFacts:
    """The facts of all these files together. `kept` is the record with the facts of each file, by its stamp."""
    if not files:
        return ReviewFacts.of(read_usable(files), rule)
    record = Kept(kept, f"{rule} {code_version(__name__)}")
    stamps = {name: list(stamp(path)) for name, path in sorted(files.items())}
    changed = [name for name, now in stamps.items() if record.known(name, now) is None]
    for start in range(0, len(changed), _AT_ONCE):
        for name, rows in _by_file({name: files[name] for name in changed[start : start + _AT_ONCE]}):
            record.keep(name, stamps[name], asdict(ReviewFacts.of(rows, rule)))
    record.save()
    return ReviewFacts.together(_as_facts(record.known(name, now)) for name, now in stamps.items())


def _by_file(files: Mapping[str, Path]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The reviews of each file. They are read together, so that whoever reads the same files next need not."""
    frame, start = read_usable(files), 0
    for name, path in sorted(files.items()):
        about = pq.read_metadata(path)
        held = set(about.schema.to_arrow_schema().names)
        rows = frame.iloc[start : start + about.num_rows]
        yield name, rows[[column for column in frame.columns if column in held]]
        start += about.num_rows


def _as_facts(kept: Mapping[str, Any]) -> ReviewFacts:
    labels = {app: (count, hits) for app, (count, hits) in kept["labels"].items()}
    return ReviewFacts(kept["reviews"], tuple(kept["columns"]), kept["nulls"], tuple(kept["with_nulls"]), labels)
