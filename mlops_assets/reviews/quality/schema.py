"""The one definition of a usable review."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

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
