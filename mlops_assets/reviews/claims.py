"""What must be true of the validated reviews of a version: pure judgements, each with its reason and numbers.

A claim that cannot be judged because another one is broken holds, and says which one speaks of it: one cause, one
alarm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import pandas as pd

from mlops_assets.reviews.label import add_labels
from mlops_assets.settings import LabelRule

REQUIRED_COLUMNS = ("review_text", "rating")
LEAST_POSITIVE, MOST_POSITIVE = 0.30, 0.90
FEW_LABELLED = 100
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Claim:
    """Whether it holds and why; `warning` says that an operator should look although it holds.

    `rows` are examples for a table.
    """

    passed: bool
    reason: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    warning: bool = False
    rows: Sequence[Mapping[str, object]] = ()


def judge_all(frame: pd.DataFrame, rule: LabelRule) -> dict[str, Claim]:
    """Every blocking claim by name."""
    return {
        "reviews_are_not_empty": reviews_are_not_empty(frame),
        "required_columns_exist": required_columns_exist(frame),
        "required_values_are_present": required_values_are_present(frame),
        "positive_share_is_normal": positive_share_is_normal(frame, rule),
    }


def reviews_are_not_empty(frame: pd.DataFrame) -> Claim:
    """At least one usable review."""
    count = len(frame)
    reason = f"{count} usable reviews" if count else "no usable review: see the quarantine and what was collected"
    return Claim(count > 0, reason, {"reviews": count})


def required_columns_exist(frame: pd.DataFrame, required: Sequence[str] = REQUIRED_COLUMNS) -> Claim:
    """The columns that a model learns from are there."""
    missing = [name for name in required if name not in frame.columns]
    reason = f"missing: {', '.join(missing)}; found: {', '.join(map(str, frame.columns))}" if missing else "all there"
    return Claim(not missing, reason, {"missing": len(missing)})


def required_values_are_present(frame: pd.DataFrame, required: Sequence[str] = REQUIRED_COLUMNS) -> Claim:
    """No null in the columns that a model learns from."""
    known = [name for name in required if name in frame.columns]
    nulls = {name: int(frame[name].isna().sum()) for name in known}
    found = {name: count for name, count in nulls.items() if count}
    if found:
        hit = frame[frame[list(found)].isna().any(axis=1)]
        ids = hit["review_id"].head(5).tolist() if "review_id" in hit.columns else []
        named = ", ".join(f"{count} nulls in {name}" for name, count in found.items())
        return Claim(
            passed=False,
            reason=f"{named}: validate the month again",
            numbers=nulls,
            rows=[{"review_id": one} for one in ids],
        )
    reason = (
        "no nulls" if len(known) == len(required) else "not judged where a column is missing: required_columns_exist"
    )
    return Claim(passed=True, reason=reason, numbers=nulls)


def positive_share_is_normal(
    frame: pd.DataFrame,
    rule: LabelRule,
    *,
    least: float = LEAST_POSITIVE,
    most: float = MOST_POSITIVE,
) -> Claim:
    """The share of positive labels is between `least` and `most`, as far as that many reviews can tell.

    Broken where the 95 % interval (Wilson) lies wholly outside; a warning where only the share itself does, and below
    100 labelled reviews.
    """
    if "rating" not in frame.columns:
        return Claim(passed=True, reason="not judged: no column rating, of which required_columns_exist speaks")
    labels = add_labels(frame[frame["rating"].notna()], rule)["label"]
    count, positive = len(labels), int((labels == "positive").sum())
    if not count:
        return Claim(passed=frame.empty, reason="no labelled review to judge", numbers={"labelled": 0})
    low, high = wilson_interval(positive, count)
    share = positive / count
    numbers = {"positive_share": share, "low": low, "high": high, "labelled": count, "positive": positive}
    said = f"{share:.1%} of {count} labelled reviews are positive (95 % interval {low:.1%} to {high:.1%})"
    bounds = f"{least:.0%} to {most:.0%}"
    if high < least or low > most:
        return Claim(
            passed=False, reason=f"{said}, outside {bounds}: look for a torn feed or changed labels", numbers=numbers
        )
    if not least <= share <= most:
        return Claim(
            passed=True,
            reason=f"{said}, outside {bounds}, but so few reviews may differ by chance",
            numbers=numbers,
            warning=True,
        )
    few = count < FEW_LABELLED
    return Claim(
        passed=True,
        reason=f"{said}, within {bounds}" + (f"; fewer than {FEW_LABELLED}" if few else ""),
        numbers=numbers,
        warning=few,
    )


def wilson_interval(hits: int, count: int, z: float = _Z) -> tuple[float, float]:
    """The Wilson score interval of a share; close to nominal even for small counts and shares near 0 or 1."""
    share = hits / count
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
