"""What an app's negative reviews usually are on a day, and how likely a larger number is by chance."""

from dataclasses import dataclass

import numpy as np

PAST_DAYS = 56
LEAST_PAST_DAYS = 14
_LEAST_OVERDISPERSION = 0.02
"""Calm quarters of two real apps have 0.02 and 0.036; 56 days may show none by luck."""
_CAUTION = 1.3
"""The variance that 56 days show is too small half of the time, and then alarms are too frequent."""
_WEEKDAY_PRIOR = 20
"""A weekday counts as if it also had so many reviews in its usual share: eight Mondays say little about Mondays."""
_OUTLIER = 0.0003
"""A day of the past that is less likely than this was a spike itself and is left out: it must not hide the next."""
_CALM = 0.9
_ROUNDS = 5
_CERTAIN_REVIEWS = 5
"""With so many reviews a day on average, a day without any has a chance of 0.7 %: nothing was collected."""


@dataclass(frozen=True)
class Usual:
    """The negative reviews a day, how the weekdays differ, and the variance beyond Poisson's.

    `variance` is relative: the variance of a count is its mean + `variance` · mean². It holds what the days vary
    by themselves, and what the past does not tell exactly.
    """

    level: float
    by_weekday: np.ndarray
    variance: float
    days: int

    def expected(self, days: np.ndarray) -> float:
        """Negative reviews on these days (numbers since 1970) together."""
        return float(self.level * self.by_weekday[days % 7].sum())

    def chance(self, count: int, days: np.ndarray) -> float:
        """The chance of at least so many negative reviews on these days: a negative binomial distribution.

        Days in a row share their luck, so that their sum varies as much, relative to its mean, as one day.
        """
        return float(_chances(np.array([count]), np.array([self.expected(days)]), self.variance)[0])


def usual(reviews: np.ndarray, negative: np.ndarray, days: np.ndarray) -> Usual | None:
    """From the last `PAST_DAYS` of an app's counts by day (numbers since 1970); None below `LEAST_PAST_DAYS`."""
    reviews, negative, days = reviews[-PAST_DAYS:], negative[-PAST_DAYS:], days[-PAST_DAYS:]
    if len(reviews) and reviews.mean() >= _CERTAIN_REVIEWS:
        negative, days = negative[reviews > 0], days[reviews > 0]
    if len(negative) < LEAST_PAST_DAYS:
        return None
    # From the calmest days on: a fit to all would be wide enough to take the spikes in.
    kept = negative <= np.quantile(negative, _CALM)
    found = _fit(negative[kept], days[kept])
    for _ in range(_ROUNDS):
        chances = _chances(negative, found.level * found.by_weekday[days % 7], found.variance)
        before, kept = kept, chances > _OUTLIER
        if (kept == before).all():
            break
        found = _fit(negative[kept], days[kept])
    return found


def _fit(negative: np.ndarray, days: np.ndarray) -> Usual:
    total, count = negative.sum() + 0.5, len(days)
    level = total / count
    number, hits = np.bincount(days % 7, minlength=7), np.bincount(days % 7, weights=negative, minlength=7)
    by_weekday = (hits + _WEEKDAY_PRIOR) / (level * number + _WEEKDAY_PRIOR)
    by_weekday /= (by_weekday * number).sum() / count
    means = level * by_weekday[days % 7]
    beyond = float((((negative - means) ** 2) * count / max(1, count - 1) - means).sum() / (means**2).sum())
    variance = max(_LEAST_OVERDISPERSION, _CAUTION * beyond)
    of_weekday = level * count / 7
    unsure = (1 / total + variance / count) + of_weekday / (of_weekday + _WEEKDAY_PRIOR) ** 2
    return Usual(float(level), by_weekday, variance + float(unsure), count)


def _chances(counts: np.ndarray, means: np.ndarray, variance: float) -> np.ndarray:
    from scipy.stats import nbinom

    size = 1 / variance
    return nbinom.sf(counts - 1, size, size / (size + means))
