"""What servers answered on the prediction paths, by their own counts, and whether a new one does worse than the old."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

PROBED = "/predict/batch"
PATHS = ("/predict", PROBED)
LEAST = 20
"""With fewer requests the slowest tenth is one request, which the machine may have delayed."""
_SLOWEST = 0.1
CHANCE = 1e-3
"""More errors than the old one's reject a new one if chance brings so many more rarely than this."""
_SHOWN = 3
"""With three expected errors, seeing none has a 5 % chance."""
_SLOW_LOOKS = 3
"""A stall of the machine shows in one look or two; a slow release is slow again."""


@dataclass(frozen=True)
class PathTraffic:
    """Requests to one path.

    answered: with 2xx
    failed: with 5xx, including 503: a ready server gives it to a text that waited past its deadline
    buckets: the upper bound in seconds of each bucket of latencies, and the requests in it

    4xx is in neither number: the client made a mistake or, with 429, sends too much.
    """

    answered: int = 0
    failed: int = 0
    buckets: tuple[tuple[float, int], ...] = ()

    @property
    def judged(self) -> int:
        """The requests that the server had to answer."""
        return self.answered + self.failed

    def __sub__(self, earlier: "PathTraffic") -> "PathTraffic":
        """The requests since `earlier`; all of them if the server was restarted in between."""
        if self.answered < earlier.answered or self.failed < earlier.failed:
            return self
        before = dict(earlier.buckets)
        buckets = tuple((bound, count - before.get(bound, 0)) for bound, count in self.buckets)
        return PathTraffic(self.answered - earlier.answered, self.failed - earlier.failed, buckets)

    def without(self, probes_s: Sequence[float]) -> "PathTraffic":
        """Without probes that were answered; `probes_s` is what they took as seen from outside, slightly more."""
        bounds = [bound for bound, _ in self.buckets]
        probes = Counter(bisect_left(bounds, took_s) for took_s in probes_s)
        buckets = tuple((bound, max(0, count - probes[index])) for index, (bound, count) in enumerate(self.buckets))
        return PathTraffic(max(0, self.answered - len(probes_s)), self.failed, buckets)

    def slowest_tenth_s(self) -> float:
        """The latency that the slowest tenth of the answers reached, interpolated in its bucket.

        One hanging request would move the mean. The tenth is counted from the slow end because the histogram holds
        refusals too: they are quick, and a server that refuses half of its requests must not look fast.
        """
        left = self.answered * _SLOWEST
        for index in reversed(range(len(self.buckets))):
            bound, count = self.buckets[index]
            if count and count >= left:
                low = self.buckets[index - 1][0] if index else 0.0
                return low if math.isinf(bound) else bound - (bound - low) * left / count
            left -= count
        return 0.0


@dataclass(frozen=True)
class Traffic:
    """Requests to each prediction path, kept apart because a batch of many texts takes longer."""

    paths: Mapping[str, PathTraffic] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Server errors on all paths."""
        return sum(path.failed for path in self.paths.values())

    @property
    def judged(self) -> int:
        """Requests on all paths that the server had to answer."""
        return sum(path.judged for path in self.paths.values())

    @property
    def failed_share(self) -> float:
        """The share of the requests that the server had to answer; 0 if there were none."""
        return self.failed / self.judged if self.judged else 0.0

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        nothing = PathTraffic()
        return Traffic({name: path - earlier.paths.get(name, nothing) for name, path in self.paths.items()})

    def without(self, probes_s: Sequence[float]) -> "Traffic":
        """Without golden probes that were answered."""
        probed = self.paths.get(PROBED, PathTraffic()).without(probes_s)
        return Traffic({**self.paths, PROBED: probed})

    def error_rate(self) -> str:
        """Its server errors, for a message."""
        return error_rate(self.failed, self.judged)


def error_rate(failed: int, judged: int) -> str:
    """Server errors among requests, for a message."""
    return f"{failed} of {judged} requests ({failed / judged if judged else 0:.1%})"


def read_traffic(exposition: str) -> Traffic:
    """From what a server says at /metrics, since it started."""
    answered: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    cumulative: dict[str, list[tuple[float, int]]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            path, count = sample.labels.get("path", ""), round(sample.value)
            if path not in PATHS:
                continue
            if sample.name == "http_requests_total" and sample.labels["status"].startswith("2"):
                answered[path] += count
            elif sample.name == "http_requests_total" and sample.labels["status"].startswith("5"):
                failed[path] += count
            elif sample.name == "http_request_seconds_bucket":
                cumulative.setdefault(path, []).append((float(sample.labels["le"]), count))
    return Traffic(
        {path: PathTraffic(answered[path], failed[path], _apart(cumulative.get(path, []))) for path in PATHS}
    )


def _apart(cumulative: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    ordered = sorted(cumulative)
    below = [0, *(count for _, count in ordered)]
    return tuple((bound, count - less) for (bound, count), less in zip(ordered, below, strict=False))


@dataclass(frozen=True)
class Baseline:
    """The old one's errors and latencies, to compare the new one's with; a path with little traffic has none."""

    errors: Traffic = field(default_factory=Traffic)
    latencies_s: Mapping[str, float] = field(default_factory=dict)


def baseline(at_start: Traffic, at_switch: Traffic, probes_s: Sequence[float] = ()) -> Baseline:
    """What the old one did while the new one started or, if that is too little, since its own start.

    `probes_s` are the golden probes that it was asked between the two.
    """
    window, since = (at_switch - at_start).without(probes_s), at_switch.without(probes_s)
    latencies_s: dict[str, float] = {}
    for name in at_switch.paths:
        periods = (period.paths[name] for period in (window, since))
        measured = next((path for path in periods if path.answered >= LEAST), None)
        if measured is not None:
            latencies_s[name] = measured.slowest_tenth_s()
    # A short window without an error does not disprove the few errors of a whole day.
    hidden = not window.failed and 0 < since.failed_share * window.judged < _SHOWN
    errors = window if window.judged >= LEAST and not hidden else since
    return Baseline(errors if errors.judged >= LEAST else Traffic(), latencies_s)


def more_errors(new: Traffic, old: Traffic) -> str:
    """Why the new one must go: it fails more often than the old one. If the old one never failed, once is too often."""
    if _chance(new.failed, old.failed_share * new.judged) >= CHANCE:
        return ""
    theirs = f"the old one {old.error_rate()}" if old.judged else "the old one is not known to fail"
    return f"it answered {new.error_rate()} with a server error, {theirs}"


def _chance(failed: int, expected: float) -> float:
    """The Poisson probability of `failed` errors or more if `expected` are expected."""
    if expected == 0:
        return float(failed == 0)
    fewer = (math.exp(count * math.log(expected) - expected - math.lgamma(count + 1)) for count in range(failed))
    return 1 - math.fsum(fewer)


def slower(new: Traffic, latencies_s: Mapping[str, float], limit_s: Callable[[float], float]) -> str:
    """Why it is too slow compared with the old one, or nothing; `limit_s` turns the old latency into the limit."""
    for name, usual_s in latencies_s.items():
        took_s = new.paths.get(name, PathTraffic()).slowest_tenth_s()
        if took_s > limit_s(usual_s):
            return (
                f"it is too slow: the slowest tenth of its answers to {name} takes {took_s:.3f} s or more, "
                f"the old one's {usual_s:.3f} s, allowed is {limit_s(usual_s):.3f} s"
            )
    return ""


class Asked:
    """What clients asked an instance since a moment, without the golden probes, and whether it answers too slowly."""

    def __init__(self, at_start: Traffic, limit_s: Callable[[float], float]) -> None:
        self._at_start, self._limit_s = at_start, limit_s
        self._last = at_start
        self._probes_s: list[float] = []
        self._slow_looks = 0
        self._lately = Traffic()
        self.whole = Traffic()
        self.knows_latency = False
        """Whether clients asked enough to judge it."""

    def count(self, counted: Traffic, probes_s: Sequence[float]) -> None:
        """A look: `counted` is since its start, the golden probes are those since the last look."""
        self._probes_s.extend(probes_s)
        self.whole = (counted - self._at_start).without(self._probes_s)
        self._lately = (counted - self._last).without(probes_s)
        self._last = counted

    def too_slow(self, latencies_s: Mapping[str, float]) -> str:
        """Why it must go, or nothing; asked once a look, `latencies_s` are the old one's."""
        enough = {
            name: usual_s
            for name, usual_s in latencies_s.items()
            if self.whole.paths.get(name, PathTraffic()).answered >= LEAST
        }
        self.knows_latency = bool(enough)
        self._slow_looks += bool(slower(self._lately, latencies_s, self._limit_s))
        return slower(self.whole, enough, self._limit_s) if self._slow_looks >= _SLOW_LOOKS else ""


class Watch:
    """Judges a new instance look by look, by what clients asked it since the switch."""

    def __init__(self, baseline: Baseline, at_switch: Traffic, limit_s: Callable[[float], float]) -> None:
        self._baseline, self._asked = baseline, Asked(at_switch, limit_s)

    @property
    def knows_latency(self) -> bool:
        """Whether clients asked enough to judge its latency."""
        return self._asked.knows_latency

    def look(self, counted: Traffic, probes_s: Sequence[float]) -> str:
        """Why it must go, or nothing. `counted` is since its start, the golden probes are those since the last look."""
        self._asked.count(counted, probes_s)
        errors = more_errors(self._asked.whole, self._baseline.errors)
        return errors or self._asked.too_slow(self._baseline.latencies_s)
