"""A canary's steps: what the new one and the old one answered in the same time, the judgement and the record.

The rollout gives the shares and asks; a process cannot have one.
"""

from collections.abc import Callable, Sequence

from mlops_assets.deploy.backend import Target
from mlops_assets.deploy.traffic import CHANCE, Asked, PathTraffic, Traffic, baseline, error_rate
from mlops_assets.failures import BadSetting
from mlops_assets.params.operations import Watching
from mlops_assets.settings import DeployTarget

ENOUGH = 100
"""With so many requests a step is judged by what clients met."""
_PATIENCE = 3
"""A step with fewer requests ends after so many times its seconds: the golden sentences have judged it."""


class Step:
    """The new one has `percent` of the requests. `earlier` are the steps before: their errors count too."""

    def __init__(
        self,
        percent: int,
        earlier: Sequence["Step"],
        new_at_start: Traffic,
        count_old: Callable[[], Traffic],
        watching: Watching,
    ) -> None:
        """`count_old` gives what the old one answered since its start, or nothing if it does not say."""
        self.percent, self._earlier, self._watching = percent, tuple(earlier), watching
        self._asked = Asked(new_at_start, watching.limit_s)
        self._count_old, self._old_at_start = count_old, count_old()
        self.old = Traffic()

    @property
    def new(self) -> Traffic:
        """What clients asked the new one in this step."""
        return self._asked.whole

    @property
    def knows_latency(self) -> bool:
        """Whether clients asked enough to judge its latency."""
        return self._asked.knows_latency

    def look(self, counted: Traffic, probes_s: Sequence[float]) -> str:
        """Why the new one must go, or nothing. `counted` is since its start, the golden probes since the last look."""
        self._asked.count(counted, probes_s)
        old = self._count_old()
        if old.paths:
            self.old = old - self._old_at_start
        usual_s = baseline(self._old_at_start, old).latencies_s
        return fails_more([(step.new, step.old) for step in (*self._earlier, self)]) or self._asked.too_slow(usual_s)

    def left_s(self, passed_s: float) -> float:
        """How long it still lasts."""
        step_s = self._watching.step_s
        return (step_s if self.new.judged >= ENOUGH else _PATIENCE * step_s) - passed_s

    def record(self, seconds: float, end: str = "") -> str:
        """One line for the deployment log; `end` is why it was stopped, if it was."""
        by = "its clients" if self.new.judged >= ENOUGH else "the golden sentences"
        return (
            f"{self.percent} % for {seconds:.0f} s: {_in_short(self.new)}; the old one {_in_short(self.old)}; "
            f"{end or f'judged by {by}'}"
        )


def fails_more(periods: Sequence[tuple[Traffic, Traffic]]) -> str:
    """Why the new one must go: it failed more often than the old one in the same periods, (new, old) for each.

    If both fail equally often, each error is the new one's with the probability of its share of the requests. A rate
    of errors that changes from one period to the next, for both, is no reason.
    """
    failed, judged = (sum(getattr(new, name) for new, _ in periods) for name in ("failed", "judged"))
    if not failed or _chance(failed, periods) >= CHANCE:
        return ""
    others = (sum(getattr(old, name) for _, old in periods) for name in ("failed", "judged"))
    return (
        f"it answered {error_rate(failed, judged)} with a server error, the old one {error_rate(*others)} "
        "in the same time"
    )


def _chance(failed: int, periods: Sequence[tuple[Traffic, Traffic]]) -> float:
    """The probability that `failed` or more of all errors are the new one's if both fail equally often."""
    import numpy as np
    from scipy.signal import fftconvolve
    from scipy.stats import binom

    chances = np.ones(1)
    for new, old in periods:
        if errors := new.failed + old.failed:
            share = new.judged / (new.judged + old.judged)
            chances = fftconvolve(chances, binom.pmf(np.arange(errors + 1), errors, share))
    return float(chances[failed:].sum())


def refuse_without_shares(watching: Watching, target: Target, wanted: DeployTarget) -> None:
    """Raise `BadSetting` if the release is to go live by steps and the target knows none."""
    if not watching.is_gradual or target == "docker":
        return
    why, first = "", "set DEPLOY_TARGET=docker"
    if wanted == "auto":
        why, first = ", which DEPLOY_TARGET=auto takes while no Docker engine with its registry answers", "start them"
    raise BadSetting(
        f"params.yaml: deploy.steps must be [100] with target process{why}, got {list(watching.steps)}: two processes "
        f"cannot share requests by percentage; {first}, or set deploy.steps: [100]"
    )


def _in_short(traffic: Traffic) -> str:
    busiest = max(traffic.paths.values(), key=lambda path: path.judged, default=PathTraffic())
    return f"{traffic.judged:,} requests, {traffic.failed:,} failed, slowest tenth {busiest.slowest_tenth_s():.3f} s"
