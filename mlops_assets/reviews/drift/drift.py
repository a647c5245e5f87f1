"""Whether new reviews differ from the serving model's training reviews, and for how long. Warns, never blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift import tests
from mlops_assets.reviews.drift.features import Features, bucket, count_languages, ngrams, shares
from mlops_assets.reviews.drift.profile import Profile, count_lengths, unknown_share

_SHOWN = 10


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: `effect` against its `floor`, `p` and `corrected` (over all features), what was before and now."""

    name: str
    drifted: bool
    effect: float
    floor: float
    p: float
    corrected: float
    before: str
    now: str


@dataclass(frozen=True)
class DriftReport:
    """The verdict, its reason, a row for each feature, n-grams that tell new from old, and new reviews as examples."""

    drifted: bool
    reason: str
    reviews_before: int
    reviews_now: int
    features: tuple[FeatureDrift, ...] = ()
    ngrams: tuple[Mapping[str, object], ...] = ()
    examples: tuple[str, ...] = ()
    mixes: Mapping[str, tuple[list[float], list[float]]] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The table by feature."""
        return [asdict(feature) for feature in self.features]


@dataclass(frozen=True)
class DriftPoint:
    """One tick's verdict about `of`, as the history keeps it: the `reviews`, or the model's `predictions` of them.

    `features` drifted; `measured` holds each feature's name, effect, floor, p (corrected) and drifted; `n` is how many
    reviews were compared.
    """

    at: datetime
    model_version: str
    drifted: bool
    features: tuple[str, ...] = ()
    of: str = "reviews"
    measured: tuple[Mapping[str, Any], ...] = ()
    n: int = 0


@dataclass(frozen=True)
class Sustained:
    """Whether drift has lasted, and the reason."""

    sustained: bool
    reason: str


def recent(frame: pd.DataFrame, options: DriftOptions) -> pd.DataFrame:
    """The newest reviews, as many as are compared."""
    return frame.sort_values(["review_date", "review_id"], kind="stable").tail(options.recent_reviews)


def measure(profile: Profile, frame: pd.DataFrame, rule: LabelRule, options: DriftOptions) -> DriftReport:
    """New reviews (`review_text`, `rating`) against the profile of the serving model's training reviews."""
    missing = [name for name in ("review_text", "rating") if name not in frame.columns]
    if missing:
        reason = f"not judged: no column {' and '.join(missing)}"
        return DriftReport(drifted=False, reason=reason, reviews_before=profile.reviews, reviews_now=len(frame))
    return compare(profile, Features.of(frame), rule, options)


def compare(
    profile: Profile, now: Features, rule: LabelRule, options: DriftOptions, *, explain: bool = True
) -> DriftReport:
    """The same from features; without `explain`, no n-grams and no examples."""
    if len(now) < options.least_reviews:
        reason = f"not judged: {len(now)} new reviews, {options.least_reviews} are needed"
        return DriftReport(drifted=False, reason=reason, reviews_before=profile.reviews, reviews_now=len(now))
    ratings = np.bincount(now.ratings, minlength=6)[1:6]
    labels = (_label_counts(profile.ratings, rule), _label_counts(ratings, rule))
    lengths = count_lengths(now.lengths, profile.length_edges)
    unknown = unknown_share(now, profile.vocabulary)
    content = tests.content_drift((profile.grams, profile.gram_starts), (now.grams, now.gram_starts))
    mixes = {
        "rating": (profile.ratings, ratings),
        "label": labels,
        "length": (profile.length_counts, lengths),
        "language": (profile.languages, count_languages(now.texts, profile.language)),
    }
    rise = float(unknown.mean() - profile.unknown_words.mean()) if len(profile.unknown_words) else 0.0
    measured = [
        (name, tests.mix_distance(*pair), options.floor_mix, tests.mix_p(*pair), *_shown(pair))
        for name, pair in mixes.items()
    ]
    old_unknown = f"{profile.unknown_words.mean():.1%} unknown words" if len(profile.unknown_words) else "too few"
    measured += [
        (
            *("vocabulary", rise, options.floor_vocabulary, tests.higher_p(profile.unknown_words, unknown)),
            *(old_unknown, f"{unknown.mean():.1%} unknown words"),
        ),
        (
            "content",
            content.auc,
            options.floor_auc,
            content.p,
            "AUC 0.5 where nothing differs",
            f"AUC {content.auc:.3f}",
        ),
    ]
    corrected = tests.holm([p for _, _, _, p, _, _ in measured])
    features = tuple(
        FeatureDrift(name, certain <= options.alpha and effect >= floor, effect, floor, p, certain, before, after)
        for (name, effect, floor, p, before, after), certain in zip(measured, corrected, strict=True)
    )
    drifted = [feature for feature in features if feature.drifted]
    named = "; ".join(f"{feature.name}: {feature.before} before, {feature.now} now" for feature in drifted)
    calm = f"none of {len(features)} features differs beyond chance and its floor"
    return DriftReport(
        drifted=bool(drifted),
        reason=f"{len(now)} new reviews against {profile.reviews}: {named or calm}",
        reviews_before=profile.reviews,
        reviews_now=len(now),
        features=features,
        ngrams=_telling_ngrams(profile, now, content) if explain else (),
        examples=tuple(str(now.texts[row])[:300] for row in _telling_rows(now, content.scores)) if explain else (),
        mixes={name: (shares(pair[0]).tolist(), shares(pair[1]).tolist()) for name, pair in mixes.items()},
    )


def sustained(history: Sequence[DriftPoint], ticks: int) -> Sustained:
    """Drift has lasted if the newest `ticks` verdicts on the same model all found it, with a feature in common.

    `history` is in order of time. Verdicts about reviews and about predictions are counted apart, and either is enough.
    A new model restarts the count, and so does a single tick without drift.
    """
    if not history:
        return Sustained(sustained=False, reason="no verdict yet")
    model = history[-1].model_version
    rows: list[tuple[list[DriftPoint], str]] = []
    for of in sorted({point.of for point in history}, reverse=True):
        row: list[DriftPoint] = []
        common: set[str] = set()
        for point in reversed([point for point in history if point.of == of]):
            shared = common & set(point.features) if row else set(point.features)
            if point.model_version != model or not point.drifted or not shared:
                break
            common = shared
            row.append(point)
        rows.append((row, ", ".join(sorted(common))))
    row, features = max(rows, key=lambda found: len(found[0]))
    if len(row) < ticks:
        return Sustained(sustained=False, reason=f"{len(row)} of {ticks} ticks in a row drifted alike")
    since = min(point.at for point in row)
    of = "" if row[0].of == "reviews" else f" of the {row[0].of}"
    reason = f"{features}{of} drifted in {len(row)} ticks in a row since {since:%Y-%m-%d %H:%M} UTC"
    return Sustained(sustained=True, reason=reason)


def _label_counts(ratings: np.ndarray, rule: LabelRule) -> np.ndarray:
    negative, neutral, positive = ratings[:2].sum(), ratings[2], ratings[3:].sum()
    return np.array([negative, neutral, positive] if rule == "ternary" else [negative, positive])


def _shown(pair: tuple[np.ndarray, np.ndarray]) -> tuple[str, str]:
    before, now = (" / ".join(f"{share:.0%}" for share in shares(counts)) for counts in pair)
    return before, now


def _telling_ngrams(profile: Profile, now: Features, content: tests.Content) -> tuple[Mapping[str, object], ...]:
    """The n-grams whose share changed most surely, in either direction, with both shares in percent."""
    surest = np.argsort(-np.abs(content.z), kind="stable")[:_SHOWN]
    top = content.buckets[surest[content.z[surest] != 0]].tolist()
    names: dict[int, str] = {}
    wanted = set(top)
    for text in (*now.texts, *profile.texts):
        if len(names) == len(wanted):
            break
        names.update(
            (number, gram) for gram in ngrams(text) if (number := bucket(gram)) in wanted and number not in names
        )
    before, after = len(profile.gram_starts) - 1, len(now)
    return tuple(
        {
            "ngram": names[number],
            "percent_before": round(100 * float((profile.grams == number).sum()) / before, 2),
            "percent_now": round(100 * float((now.grams == number).sum()) / after, 2),
        }
        for number in top
        if number in names
    )


def _telling_rows(now: Features, scores: np.ndarray) -> np.ndarray:
    """The indices of the new reviews least like the old, each text once."""
    seen: set[str] = set()
    rows = []
    for row in np.argsort(-scores, kind="stable"):
        text = str(now.texts[row])
        if text not in seen:
            seen.add(text)
            rows.append(row)
        if len(rows) == 5:
            break
    return np.array(rows, dtype=np.int64)
