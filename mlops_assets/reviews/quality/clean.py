"""The usable reviews of a frame, and the others with every reason. What usable means is schema.py's."""

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from mlops_assets.reviews.quality.schema import usable_review
from mlops_assets.reviews.stored.columns import UnknownColumns


@dataclass(frozen=True)
class Validated:
    """`good` in the stored form; `quarantined` the same with `reasons` ("; "-joined). `deleted` rows are in neither.

    `reasons` counts reviews by reason, the most frequent first; a review with two reasons counts under both.
    """

    good: pd.DataFrame
    quarantined: pd.DataFrame
    deleted: int
    reasons: dict[str, int] = field(default_factory=dict)


def validate(frame: pd.DataFrame) -> Validated:
    """Every rule in one pass over stored reviews. Raises `UnknownColumns` where the frame is not in the stored form."""
    from pandera.errors import SchemaErrors

    deleted = 0
    present = frame.reset_index(drop=True)
    if "deleted_at" in frame.columns:
        gone = present["deleted_at"].notna()
        deleted = int(gone.sum())
        present = cast("pd.DataFrame", present[~gone].reset_index(drop=True)) if deleted else present
    try:
        usable_review().validate(present, lazy=True)
    except SchemaErrors as found:
        broken = _rows_by_reason(found.schema_errors, len(present))
    else:
        return Validated(present, present.head(0).assign(reasons=pd.Series(dtype="str")), deleted)
    bad = np.logical_or.reduce(list(broken.values()))
    at = np.flatnonzero(bad)
    reasons = ["; ".join(reason for reason, rows in broken.items() if rows[row]) for row in at]
    counts = {reason: int(rows.sum()) for reason, rows in broken.items()}
    return Validated(
        good=cast("pd.DataFrame", present[~bad].reset_index(drop=True)),
        quarantined=cast(
            "pd.DataFrame", present.iloc[at].reset_index(drop=True).assign(reasons=pd.Series(reasons, dtype="str"))
        ),
        deleted=deleted,
        reasons=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    )


def _rows_by_reason(errors: list[Any], count: int) -> dict[str, np.ndarray]:
    """Reason -> mask of the rows that break it; raises where the frame's form itself is broken."""
    broken: dict[str, np.ndarray] = {}
    structural: list[str] = []
    for error in errors:
        kept = getattr(error, "check_output", None)
        if error.reason_code.name != "DATAFRAME_CHECK" or not isinstance(kept, pd.Series):
            structural.append(" ".join(str(error).split()))
            continue
        rows = np.zeros(count, dtype=bool)
        rows[kept.index[~kept.to_numpy(dtype=bool)].to_numpy()] = True  # pandera leaves nulls out of a check's answer
        broken[str(error.check.error)] = rows
    if structural:
        raise UnknownColumns(
            f"the reviews are not in the stored form: {'; '.join(structural)[:600]}: collect or import them again"
        )
    return broken
