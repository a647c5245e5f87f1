"""The rollout: start the new one beside the old, prove it, switch, watch, stop the old.

It decides; a `Backend` does. Whatever goes wrong, the old one serves on and the new one's log is in the error.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

from mlops_assets.artifact import Golden
from mlops_assets.deploy.release import Release
from mlops_assets.failures import PermanentFailure, TransientFailure

Instance = TypeVar("Instance")
Asked_contra = TypeVar("Asked_contra", contravariant=True)

GOLDEN_TOLERANCE = 1e-2
"""As in the server: int8 kernels differ between processors by up to 6e-3."""
_POLL_S = 0.05
_PROBES = 3


class DeploymentRefused(PermanentFailure):
    """The new one never went live; the old one was not touched."""


class RolledBack(PermanentFailure):
    """The new one was live and failed while it was watched; the old one serves again."""


class NoAnswer(TransientFailure):
    """The instance does not answer, or not with what an answer looks like."""


class WrongAnswer(PermanentFailure):
    """The instance answers, but not as its release says."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: status, JSON body, time."""

    status: int
    body: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Watching:
    """How a new instance is judged. Latency is that of the golden probes, against the old one's before the switch.

    ready_timeout_s: so long may it take until it is ready
    watch_s: so long is it watched after the switch; what fails meanwhile is rolled back
    slower_at_most: so many times the old one's latency may it take
    always_fast_s: under this it is never too slow
    """

    ready_timeout_s: float = 60.0
    watch_s: float = 3.0
    slower_at_most: float = 5.0
    always_fast_s: float = 0.25

    @classmethod
    def from_params(cls, section: Mapping[str, Any]) -> Self:
        """From the section `deploy` of params.yaml; raises `PermanentFailure` with name, value and rule."""
        for name, value in section.items():
            if name not in cls.__dataclass_fields__:
                known = ", ".join(cls.__dataclass_fields__)
                raise PermanentFailure(f"params.yaml: deploy.{name} is no parameter, known are {known}")
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise PermanentFailure(f"params.yaml: deploy.{name} must be a number from 0, got {value!r}")
        return cls(**{name: float(value) for name, value in section.items()})

    def but(self, *, ready_timeout_s: float | None, watch_s: float | None) -> Self:
        """With what is given in the place of its own."""
        given = {"ready_timeout_s": ready_timeout_s, "watch_s": watch_s}
        return replace(self, **{name: value for name, value in given.items() if value is not None})


class Running(Protocol[Asked_contra]):
    """Instances that can be asked."""

    def running(self, instance: Asked_contra) -> bool:
        """Whether its process or container is there."""
        ...

    def ask(self, instance: Asked_contra, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Ask the instance itself, not the public port; raises `NoAnswer`."""
        ...

    def log(self, instance: Asked_contra) -> str:
        """The last lines it wrote."""
        ...


class Backend(Running[Instance], Protocol[Instance]):
    """Where instances are started and stopped."""

    def sweep(self) -> None:
        """Remove what deployments that were killed have left; the live instance stays."""
        ...

    def current(self) -> Instance | None:
        """The instance that is live, if it runs."""
        ...

    def public(self, instance: Instance) -> bool:
        """Whether it holds the public port that is asked for now."""
        ...

    def start(self, release: Release) -> Instance:
        """A new instance beside the live one, not yet public."""
        ...

    def server_errors(self, instance: Instance) -> int:
        """5xx answers since it started, by its own count; raises `NoAnswer`."""
        ...

    def switch(self, new: Instance, old: Instance | None) -> None:
        """Give the public port to `new` without losing a request; `old` stays ready to take it back."""
        ...

    def stop(self, instance: Instance) -> None:
        """Let it finish what it answers, then end it."""
        ...


def roll_out(
    release: Release,
    backend: Backend[Instance],
    report: Callable[[str], None],
    watching: Watching,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Instance:
    """Put `release` live and return its instance; raises `DeploymentRefused` or `RolledBack`."""
    golden = release.golden()
    backend.sweep()
    old = backend.current()
    if old is not None and _serves_already(old, release, golden, backend):
        report(f"release {release.version} serves already and answers its golden sentences")
        return old
    new = backend.start(release)
    try:
        report(f"release {release.version} is starting beside {'the old one' if old is not None else 'nothing'}")
        _wait_until_ready(new, backend, watching.ready_timeout_s, clock, sleep)
        usual_s = _usual(old, golden, backend)
        took_s = _prove(new, release, golden, backend)
        _refuse_slow([took_s], usual_s, watching)
        report(f"release {release.version} is ready and answers its {len(golden)} golden sentences in {took_s:.3f} s")
        backend.switch(new, old)
    except BaseException as error:
        log = backend.log(new)
        backend.stop(new)
        if isinstance(error, PermanentFailure | TransientFailure):
            raise DeploymentRefused(_told(release, str(error), old, log)) from error
        raise
    report(f"release {release.version} is live; it is watched for {watching.watch_s:g} s")
    try:
        _watch(new, release, golden, backend, watching, usual_s=usual_s, clock=clock, sleep=sleep)
    except BaseException as error:
        log = backend.log(new)
        if old is not None:
            backend.switch(old, new)
        backend.stop(new)
        if isinstance(error, PermanentFailure | TransientFailure):
            raise RolledBack(_told(release, f"after the switch: {error}", old, log)) from error
        raise
    if old is not None:
        backend.stop(old)
    return new


def try_out(release: Release, instance: Instance, place: Running[Instance], *, timeout_s: float = 60.0) -> float:
    """Prove an instance that nobody else asks; the seconds of its golden answers, or `DeploymentRefused`."""
    try:
        _wait_until_ready(instance, place, timeout_s, time.monotonic, time.sleep)
        return _prove(instance, release, release.golden(), place)
    except (NoAnswer, WrongAnswer) as error:
        log = place.log(instance) or "(none)"
        raise DeploymentRefused(
            f"release {release.version} is refused: its image {error}; nothing was deployed. Its last lines:\n{log}"
        ) from error


def _wait_until_ready(
    new: Instance,
    backend: Running[Instance],
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    until = clock() + timeout_s
    reason = "it never answered"
    while clock() < until:
        if not backend.running(new):
            raise WrongAnswer("it ended before it was ready")
        try:
            reply = backend.ask(new, "GET", "/ready")
        except NoAnswer as error:
            reason = str(error)
        else:
            if reply.status == 200:
                return
            reason = str(reply.body.get("reason", reply.body))
            if reply.body.get("status") == "broken":
                raise WrongAnswer(reason)
        sleep(_POLL_S)
    raise WrongAnswer(f"it was not ready within {timeout_s:g} s: {reason}")


def _serves_already(old: Instance, release: Release, golden: tuple[Golden, ...], backend: Backend[Instance]) -> bool:
    try:
        _prove(old, release, golden, backend)
    except (NoAnswer, WrongAnswer):
        return False  # It is another release, or it is ill: a new instance takes its place.
    return backend.public(old)


def _prove(instance: Instance, release: Release, golden: tuple[Golden, ...], backend: Running[Instance]) -> float:
    """Version and golden answers are those of the release; returns the seconds that the golden answers took."""
    health = backend.ask(instance, "GET", "/health").body
    for name, wanted in (
        ("model_version", release.model_version),
        ("dataset_version", release.dataset_version),
        ("release_version", release.version),
    ):
        if health.get(name) != wanted:
            raise WrongAnswer(f"it names {name} {health.get(name)}, the release is {wanted}")
    return _golden(instance, golden, backend)


def _golden(instance: Instance, golden: tuple[Golden, ...], backend: Running[Instance]) -> float:
    if not golden:
        return 0.0
    reply = backend.ask(instance, "POST", "/predict/batch", _question(golden))
    results = reply.body.get("results", [])
    if reply.status != 200 or len(results) != len(golden):
        raise WrongAnswer(f"it answers the golden sentences with status {reply.status}")
    for item, result in zip(golden, results, strict=True):
        given = list(result.get("probabilities", {}).values())
        if len(given) != len(item.probabilities) or any(
            not abs(value - wanted) <= GOLDEN_TOLERANCE for value, wanted in zip(given, item.probabilities, strict=True)
        ):
            raise WrongAnswer(f"it answers {item.text[:60]!r} with {given}, sealed is {list(item.probabilities)}")
    return reply.seconds


def _question(golden: tuple[Golden, ...]) -> dict[str, list[str]]:
    return {"texts": [item.text for item in golden]}


def _usual(old: Instance | None, golden: tuple[Golden, ...], backend: Backend[Instance]) -> float:
    """The seconds that the old one needs for the golden sentences under the load that it has; 0 where none can say."""
    if old is None or not golden:
        return 0.0
    try:
        replies = [backend.ask(old, "POST", "/predict/batch", _question(golden)) for _ in range(_PROBES)]
    except NoAnswer:
        return 0.0  # The old one is down: any right answer is better.
    return max(reply.seconds for reply in replies)


def _refuse_slow(took_s: Sequence[float], usual_s: float, watching: Watching) -> None:
    """Too slow is over `always_fast_s` and over `slower_at_most` times the usual, each of the last times."""
    quickest_s = min(took_s, default=0.0)
    if usual_s and quickest_s > max(watching.always_fast_s, watching.slower_at_most * usual_s):
        raise WrongAnswer(
            f"it is too slow: {quickest_s:.2f} s for the golden sentences, the old one takes {usual_s:.2f} s, "
            f"allowed is {watching.slower_at_most:g} times that"
        )


def _watch(
    new: Instance,
    release: Release,
    golden: tuple[Golden, ...],
    backend: Backend[Instance],
    watching: Watching,
    *,
    usual_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    until = clock() + watching.watch_s
    took_s: list[float] = []
    while clock() < until:
        if not backend.running(new):
            raise WrongAnswer("it ended")
        took_s.append(_prove(new, release, golden, backend))
        if len(took_s) >= _PROBES:  # One slow answer among many is the machine's, not the release's.
            _refuse_slow(took_s[-_PROBES:], usual_s, watching)
        errors = backend.server_errors(new)
        if errors:
            raise WrongAnswer(f"it answered {errors} requests with a server error")
        sleep(min(0.25, max(0.0, until - clock())))


def _told(release: Release, reason: str, old: object | None, log: str) -> str:
    kept = "the old one serves on" if old is not None else "nothing serves, as before"
    return f"release {release.version} is refused: {reason}; {kept}. Its last lines:\n{log or '(none)'}"
