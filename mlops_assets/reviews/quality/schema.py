"""What a usable review is: a frame's usable reviews, and the others with every reason."""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops_assets.reviews.stored.columns import UnknownColumns

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

LONGEST_TEXT = 10_000
"""Characters. Google Play's limit has been 500, older reviews reach 1,250: ten thousand is no review."""

FIRST_DAY = pd.Timestamp("2008-10-22", tz="UTC")
"""The Android Market opened."""

# Between a collector that wrote local time and one that wrote UTC lie up to 14 hours.
CLOCK_SLACK = pd.Timedelta(days=1)

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f"
"""Characters that show nothing; a text of these and spaces alone says nothing."""


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
    """Every rule in one pass over stored reviews. Raises `UnknownColumns` if the frame is not in the stored form."""
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


@cache
def usable_review() -> "DataFrameSchema":
    """The schema. Each check's `error` is the reason that a quarantined row carries."""
    from pandera.pandas import Check, Column, DataFrameSchema

    def rule(reason: str, holds: Any) -> Any:
        # One failure case suffices: `validate` reads the whole mask, and formatting cases costs more than checking.
        # Nulls pass here and not by `ignore_na`, which would copy the column.
        return Check(
            lambda values: holds(values).fillna(value=True) | values.isna(),
            error=reason,
            n_failure_cases=1,
            ignore_na=False,
        )

    def present(what: str) -> Any:
        return Check(lambda values: values.notna(), error=f"{what} is missing", n_failure_cases=1, ignore_na=False)

    def text(*, nullable: bool, checks: list[Any] | None = None) -> Any:
        return Column("str", checks=checks, nullable=nullable)

    time: Any = "datetime64[us, UTC]"
    number: Any = "Int64"
    return DataFrameSchema(
        {
            "review_id": text(nullable=False, checks=[rule("review_id is repeated", _first_of_its_kind)]),
            "app_id": text(nullable=False),
            "review_text": text(
                nullable=True,
                checks=[
                    present("text"),
                    rule("text is empty", _says_something),
                    rule(
                        f"text is longer than {LONGEST_TEXT} characters", lambda texts: texts.str.len() <= LONGEST_TEXT
                    ),
                ],
            ),
            "rating": Column(
                number,
                nullable=True,
                checks=[
                    present("rating"),
                    rule("rating is not 1 to 5", lambda stars: stars.between(1, 5)),
                ],
            ),
            "thumbs_up": Column(number, nullable=True, checks=[rule("thumbs_up is negative", lambda n: n >= 0)]),
            "app_version": text(nullable=True),
            "review_date": Column(
                time, checks=[rule(f"dated before {FIRST_DAY:%Y-%m-%d}", lambda times: times >= FIRST_DAY)]
            ),
            "reply_text": text(nullable=True),
            "reply_date": Column(time, nullable=True),
            "scraped_at": Column(time),
            "source": text(nullable=False),
            "author": text(nullable=True),
            "deleted_at": Column(time, nullable=True),
        },
        checks=[
            Check(
                lambda rows: rows["review_date"] <= rows["scraped_at"] + CLOCK_SLACK,
                error="dated after it was collected",
                n_failure_cases=1,
                ignore_na=False,
            )
        ],
        strict=True,
        ordered=True,
        name="usable_review",
    )


def _rows_by_reason(errors: list[Any], count: int) -> dict[str, np.ndarray]:
    """Reason -> mask of the rows that break it; raises if the frame's form itself is broken."""
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


def _first_of_its_kind(ids: pd.Series) -> pd.Series:
    # There are no repeats as a rule, and to see that costs a tenth of marking them.
    column: Any = pa.array(ids, pa.large_string())
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if _surely_distinct(column) or len(column.unique()) == len(ids):
        return pd.Series(data=True, index=ids.index)
    return ~ids.duplicated()


def _surely_distinct(ids: Any) -> bool:
    """True where 64-bit hashes of ids of one width (a feed's are UUIDs) all differ; False where that cannot be told.

    Equal ids have equal hashes, so True is a proof.
    """
    if not len(ids) or ids.null_count:
        return False
    _, offsets, content = ids.buffers()
    ends = np.frombuffer(offsets, np.int64)[ids.offset : ids.offset + len(ids) + 1]
    width = int(ends[1] - ends[0])
    if not width or (np.diff(ends) != width).any():
        return False
    padded = np.zeros((len(ids), -(-width // 8) * 8), np.uint8)
    padded[:, :width] = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]].reshape(len(ids), width)
    hashes = np.zeros(len(ids), np.uint64)
    for words in padded.view(np.uint64).T:
        hashes = (hashes ^ words) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    hashes.sort()
    return not (hashes[1:] == hashes[:-1]).any()


def _says_something(texts: pd.Series) -> pd.Series:
    return texts.str.strip(f"{INVISIBLE} \t\r\n\x0b\x0c\u00a0\u3000").str.len() > 0
