"""What must be true of the validated reviews of a version: pure judgements, each with its reason and numbers.

A claim holds if it cannot be judged because another claim is broken, and names that claim: one cause, one alarm.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from typing import Self

import pandas as pd

from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import ValidationOptions
from mlops_assets.reviews.stored.label import add_labels

REQUIRED_COLUMNS = ("review_text", "rating")
FEW_LABELLED = 100
_SHOWN = 5
_ROOM = 0.1
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Claim:
    """Whether it holds and why; `warning`: an operator should look although it holds.

    `rows` are examples for a table.
    """

    passed: bool
    reason: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    warning: bool = False
    rows: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class ReviewFacts:
    """What the claims here need to know of reviews: so little that it can be kept for each month, and added up.

    columns: the columns that any of the reviews has
    nulls: how many reviews have no value in each required column
    with_nulls: ids of the first reviews with such a hole
    labels: how many labelled reviews each app has, and how many of them are positive
    """

    reviews: int = 0
    columns: tuple[str, ...] = ()
    nulls: Mapping[str, int] = field(default_factory=dict)
    with_nulls: tuple[str, ...] = ()
    labels: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame, rule: LabelRule) -> Self:
        values = frame.reindex(columns=[*REQUIRED_COLUMNS])
        holes = values.isna().any(axis=1)
        labels: dict[str, tuple[int, int]] = {}
        if "rating" in frame.columns:
            labelled = add_labels(frame[frame["rating"].notna()], rule)
            positive = (labelled["label"] == "positive").groupby(labelled["app_id"]).agg(["size", "sum"])
            labels = {str(app): (int(count), int(hits)) for app, count, hits in positive.itertuples()}
        return cls(
            len(frame),
            tuple(map(str, frame.columns)),
            {name: int(values[name].isna().sum()) for name in REQUIRED_COLUMNS},
            tuple(frame["review_id"][holes].head(_SHOWN)) if "review_id" in frame.columns else (),
            labels,
        )

    @classmethod
    def together(cls, facts: Iterable[Self]) -> Self:
        """The facts of all these reviews."""
        nulls, labelled, positive = Counter[str](), Counter[str](), Counter[str]()
        names: dict[str, None] = {}
        reviews, with_nulls = 0, list[str]()
        for each in facts:
            reviews += each.reviews
            names |= dict.fromkeys(each.columns)
            nulls.update(each.nulls)
            with_nulls += each.with_nulls[: _SHOWN - len(with_nulls)]
            labelled.update({app: count for app, (count, _) in each.labels.items()})
            positive.update({app: hits for app, (_, hits) in each.labels.items()})
        labels = {app: (count, positive[app]) for app, count in sorted(labelled.items())}
        return cls(reviews, tuple(names), nulls, tuple(with_nulls), labels)


def judge(facts: ReviewFacts, options: ValidationOptions | None = None) -> dict[str, Claim]:
    """By name, every claim that blocks and needs these reviews alone."""
    return {
        "reviews_are_not_empty": reviews_are_not_empty(facts),
        "required_columns_exist": required_columns_exist(facts),
        "required_values_are_present": required_values_are_present(facts),
        "positive_share_is_normal": positive_share_is_normal(facts, options),
    }


def reviews_are_not_empty(facts: ReviewFacts) -> Claim:
    """At least one usable review."""
    count = facts.reviews
    reason = f"{count} usable reviews" if count else "no usable review: see the quarantine and what was collected"
    return Claim(count > 0, reason, {"reviews": count})


def required_columns_exist(facts: ReviewFacts) -> Claim:
    """The columns that a model learns from are there."""
    missing = [name for name in REQUIRED_COLUMNS if name not in facts.columns]
    reason = f"missing: {', '.join(missing)}; found: {', '.join(facts.columns)}" if missing else "all there"
    return Claim(not missing, reason, {"missing": len(missing)})


def required_values_are_present(facts: ReviewFacts) -> Claim:
    """No null in the columns that a model learns from."""
    nulls = {name: facts.nulls.get(name, 0) for name in REQUIRED_COLUMNS if name in facts.columns}
    found = {name: count for name, count in nulls.items() if count}
    if found:
        named = ", ".join(f"{count} nulls in {name}" for name, count in found.items())
        return Claim(
            passed=False,
            reason=f"{named}: validate the month again",
            numbers=nulls,
            rows=[{"review_id": review_id} for review_id in facts.with_nulls],
        )
    whole = len(nulls) == len(REQUIRED_COLUMNS)
    reason = "no nulls" if whole else "not judged: a column is missing, see required_columns_exist"
    return Claim(passed=True, reason=reason, numbers=nulls)


def positive_share_is_normal(facts: ReviewFacts, options: ValidationOptions | None = None) -> Claim:
    """Each app's share of positive labels is between its bounds, as far as that many reviews can tell.

    Broken if an app's 95 % interval (Wilson) lies wholly outside. A warning if only the share itself does, or below 100
    labelled reviews. Both come with the line for params.yaml that gives the app other bounds.
    """
    options = options or ValidationOptions()
    if "rating" not in facts.columns:
        return Claim(passed=True, reason="not judged: there is no column rating, see required_columns_exist")
    shares = [
        AppShare(app, hits, count, *options.bounds_of(app)) for app, (count, hits) in sorted(facts.labels.items())
    ]
    if not shares:
        return Claim(passed=not facts.reviews, reason="no labelled review to judge", numbers={"labelled": 0})
    broken = [share for share in shares if share.is_broken]
    doubtful = [share for share in shares if share.is_outside and not share.is_broken]
    count, positive = sum(share.count for share in shares), sum(share.positive for share in shares)
    low, high = wilson_interval(positive, count)
    few = count < FEW_LABELLED
    findings = [f"{share}: look for a torn feed or changed stars" for share in broken]
    findings += [f"{share}, but so few reviews may differ by chance" for share in doubtful]
    if not findings:
        findings = [str(share) for share in shares] + ([f"fewer than {FEW_LABELLED} reviews"] if few else [])
    if broken or doubtful:
        line = options.line_with("positive_share", {share.app: share.roomy_bounds() for share in [*broken, *doubtful]})
        subject = "this app's reviews" if len(broken) + len(doubtful) == 1 else "these apps' reviews"
        findings.append(f"if {subject} are like that, replace the section validation of params.yaml by: {line}")
    return Claim(
        passed=not broken,
        reason="; ".join(findings),
        numbers={
            "positive_share": positive / count,
            "low": low,
            "high": high,
            "labelled": count,
            "positive": positive,
        },
        warning=not broken and (bool(doubtful) or few),
        rows=[share.row() for share in shares],
    )


@dataclass(frozen=True)
class AppShare:
    """How many of an app's labelled reviews are positive, and the bounds of that share."""

    app: str
    positive: int
    count: int
    least: float
    most: float

    @property
    def share(self) -> float:
        return self.positive / self.count

    @property
    def is_outside(self) -> bool:
        return not self.least <= self.share <= self.most

    @property
    def is_broken(self) -> bool:
        low, high = wilson_interval(self.positive, self.count)
        return high < self.least or low > self.most

    @property
    def bounds(self) -> str:
        return f"{100 * self.least:g}% to {100 * self.most:g}%"

    def __str__(self) -> str:
        low, high = wilson_interval(self.positive, self.count)
        where = "outside" if self.is_outside else "within"
        return (
            f"{self.app}: {self.share:.1%} of {self.count} labelled reviews are positive "
            f"(95 % interval {low:.1%} to {high:.1%}), {where} {self.bounds}"
        )

    def roomy_bounds(self) -> tuple[float, float]:
        """Bounds that this share keeps when it moves by up to ten points, or by two thirds of the way to 0 or 1."""
        low, high = wilson_interval(self.positive, self.count)
        least = min(low, max(self.share - _ROOM, self.share / 3))
        most = max(high, min(self.share + _ROOM, 1 - (1 - self.share) / 3))
        return floor(100 * least) / 100, ceil(100 * most) / 100

    def row(self) -> dict[str, object]:
        return {
            "app": self.app,
            "labelled": self.count,
            "positive_percent": round(100 * self.share, 1),
            "bounds": self.bounds,
            "outside": self.is_outside,
        }


def wilson_interval(hits: int, count: int, z: float = _Z) -> tuple[float, float]:
    """The Wilson score interval of a share; close to nominal even for small counts and shares near 0 or 1."""
    share = hits / count
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
