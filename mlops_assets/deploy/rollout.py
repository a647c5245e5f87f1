"""The rollout: start the new one beside the old, prove it, switch, watch, stop the old.

It decides; a backend's `Servers` do. Whatever goes wrong, the old one serves on and the error holds the new one's log.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from mlops_assets.artifact import Golden
from mlops_assets.deploy.backend import Instance, Running, Servers
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.deploy.traffic import Traffic, Watch, baseline
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.params.operations import Watching

GOLDEN_TOLERANCE = 1e-2
"""As in the server: int8 kernels differ between processors by up to 6e-3."""
_POLL_S = 0.05
_PUBLIC_S = 10.0
_PROBES = 3


class DeploymentRefused(PermanentFailure):
    """The new one never went live; the old one was not touched."""


class RolledBack(PermanentFailure):
    """The new one was live and failed while it was watched; the old one serves again."""


class WrongAnswer(PermanentFailure):
    """The instance answers, but not as its release says."""


class Unanswered(WrongAnswer):
    """The golden sentences got a refusal or a server error instead of an answer."""


def roll_out(
    release: Release,
    servers: Servers[Instance],
    report: Callable[[str], None],
    watching: Watching,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Instance:
    """Put `release` live and return its instance; raises `DeploymentRefused` or `RolledBack`."""
    golden = release.golden()
    servers.sweep()
    old = servers.current()
    if old is not None and _serves_already(old, release, golden, servers):
        report(f"release {release.version} serves already and answers its golden sentences")
        return old
    old_at_start = _traffic(old, servers)
    new = servers.start(release)
    try:
        report(f"release {release.version} is starting beside {'the old one' if old is not None else 'nothing'}")
        _wait_until_ready(new, servers, watching.ready_timeout_s, clock, sleep)
        old_took_s = _probe(old, golden, servers)
        took_s = [_prove(new, release, golden, servers)]
        while len(took_s) < _PROBES and _too_slow(took_s, old_took_s, watching):
            took_s.append(_golden(new, golden, servers))
        _refuse_slow(took_s, old_took_s, watching)
        report(f"release {release.version} is ready: {len(golden)} golden sentences are right, in {min(took_s):.3f} s")
        expected = baseline(old_at_start, _traffic(old, servers), old_took_s)
        judge = Watch(expected, servers.traffic(new), watching.limit_s)
        servers.switch(new, old)
    except BaseException as error:
        log = servers.log(new)
        servers.stop(new)
        if isinstance(error, PermanentFailure | TransientFailure):
            raise DeploymentRefused(_refusal(release, str(error), old, log)) from error
        raise
    try:
        _prove_public(new, release, servers, clock, sleep)
        report(f"release {release.version} is live; it is watched for {watching.watch_s:g} s")
        _watch(new, release, servers, watching, judge=judge, old_took_s=old_took_s, clock=clock, sleep=sleep)
    except BaseException as error:
        log = servers.log(new)
        if old is not None:
            servers.switch(old, new)
        servers.stop(new)
        if isinstance(error, PermanentFailure | TransientFailure):
            raise RolledBack(_refusal(release, f"after the switch: {error}", old, log)) from error
        raise
    if old is not None:
        servers.stop(old)
    return new


def try_out(release: Release, instance: Instance, servers: Running[Instance], *, timeout_s: float = 60.0) -> float:
    """Prove an instance that nobody else asks; the seconds of its golden answers, or `DeploymentRefused`."""
    try:
        _wait_until_ready(instance, servers, timeout_s, time.monotonic, time.sleep)
        return _prove(instance, release, release.golden(), servers)
    except (NoAnswer, WrongAnswer) as error:
        log = servers.log(instance) or "(none)"
        raise DeploymentRefused(
            f"release {release.version} is refused: when it was tried, {error}; nothing was deployed. "
            f"Its last lines:\n{log}"
        ) from error


def try_beside(release: Release, servers: Servers[Instance], *, timeout_s: float) -> None:
    """Prove a release beside what serves, and stop it again; `DeploymentRefused` if it fails."""
    servers.sweep()
    instance = servers.start(release)
    try:
        try_out(release, instance, servers, timeout_s=timeout_s)
    finally:
        servers.stop(instance)


def _wait_until_ready(
    new: Instance,
    servers: Running[Instance],
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    until = clock() + timeout_s
    reason = "it never answered"
    while clock() < until:
        if not servers.running(new):
            raise WrongAnswer("it ended before it was ready")
        try:
            reply = servers.ask(new, "GET", "/ready")
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


def _serves_already(old: Instance, release: Release, golden: tuple[Golden, ...], servers: Servers[Instance]) -> bool:
    try:
        _prove(old, release, golden, servers)
    except (NoAnswer, WrongAnswer):
        return False  # It is another release, or it is ill: a new instance takes its place.
    return servers.as_set(old) and not _elsewhere(release, servers)


def _prove_public(
    new: Instance,
    release: Release,
    servers: Servers[Instance],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Clients reach the release: what listens on the public port may lead elsewhere, or nowhere."""
    until = clock() + _PUBLIC_S
    while reason := _elsewhere(release, servers):
        if not servers.running(new):
            raise WrongAnswer("it ended")
        if clock() >= until:
            raise WrongAnswer(f"clients do not reach it: {reason}")
        sleep(_POLL_S)


def _elsewhere(release: Release, servers: Servers[Any]) -> str:
    """What the public port answers instead of the release; empty if it leads there."""
    try:
        reply = servers.public().ask("GET", "/health")
    except NoAnswer as error:
        return str(error)
    answered = reply.body.get("release_version")
    return "" if answered == release.version else f"the public port answers {reply.status} of release {answered}"


def _prove(instance: Instance, release: Release, golden: tuple[Golden, ...], servers: Running[Instance]) -> float:
    """Version and golden answers are those of the release; returns the seconds that the golden answers took."""
    health = servers.ask(instance, "GET", "/health").body
    for name, wanted in (
        ("model_version", release.model_version),
        ("dataset_version", release.dataset_version),
        ("release_version", release.version),
    ):
        if health.get(name) != wanted:
            raise WrongAnswer(f"it names {name} {health.get(name)}, the release is {wanted}")
    return _golden(instance, golden, servers)


def _golden(instance: Instance, golden: tuple[Golden, ...], servers: Running[Instance]) -> float:
    if not golden:
        return 0.0
    reply = servers.ask(instance, "POST", "/predict/batch", _question(golden))
    results = reply.body.get("results", [])
    if reply.status == 429 or reply.status >= 500:
        raise Unanswered(f"it answers the golden sentences with status {reply.status}")
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


def _probe(old: Instance | None, golden: tuple[Golden, ...], servers: Servers[Instance]) -> list[float]:
    """The seconds that the old one needs for the golden sentences under its present load; empty if it is down."""
    if old is None or not golden:
        return []
    try:
        replies = [servers.ask(old, "POST", "/predict/batch", _question(golden)) for _ in range(_PROBES)]
    except NoAnswer:
        return []  # The old one is down: any right answer is better.
    return [reply.seconds for reply in replies if reply.status == 200]  # a refusal is quick, and no answer


def _traffic(old: Instance | None, servers: Servers[Instance]) -> Traffic:
    """What the old one answered, by its own count; nothing if it is down."""
    if old is None:
        return Traffic()
    try:
        return servers.traffic(old)
    except NoAnswer:
        return Traffic()


def _refuse_slow(took_s: Sequence[float], old_took_s: Sequence[float], watching: Watching) -> None:
    if reason := _too_slow(took_s, old_took_s, watching):
        raise WrongAnswer(reason)


def _too_slow(took_s: Sequence[float], old_took_s: Sequence[float], watching: Watching) -> str:
    """The reason if every one of these golden probes is over the limit, which the old one's slowest probe sets.

    The machine, not the release, explains a single slow answer, so `_PROBES` answers are needed to refuse one.
    """
    quickest_s, usual_s = min(took_s, default=0.0), max(old_took_s, default=0.0)
    if not usual_s or quickest_s <= watching.limit_s(usual_s):
        return ""
    return (
        f"it is too slow: {quickest_s:.2f} s for the golden sentences, the old one takes {usual_s:.2f} s, "
        f"allowed is {watching.limit_s(usual_s):.2f} s"
    )


def _watch(
    new: Instance,
    release: Release,
    servers: Servers[Instance],
    watching: Watching,
    *,
    judge: Watch,
    old_took_s: Sequence[float],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    golden = release.golden()
    until = clock() + watching.watch_s
    took_s: list[float] = []
    unanswered: Unanswered | None = None
    left_s = watching.watch_s
    while left_s > 0:
        left_s = until - clock()  # before the look: the last sleep is followed by a look too
        if not servers.running(new):
            raise WrongAnswer("it ended")
        probes_s: list[float] = []
        try:
            probes_s.append(_prove(new, release, golden, servers))
        except Unanswered as error:
            # The probe shares the queue and the batches of the clients, and the old one may have done no better: the
            # look counts it as one request.
            unanswered = error
        took_s.extend(probes_s)
        reason = judge.look(servers.traffic(new), probes_s if golden else ())
        if reason:
            raise WrongAnswer(reason)
        if len(took_s) >= _PROBES and not judge.knows_latency:
            _refuse_slow(took_s[-_PROBES:], old_took_s, watching)
        sleep(min(0.25, max(0.0, left_s)))
    if unanswered is not None and not took_s:
        raise unanswered


def _refusal(release: Release, reason: str, old: object | None, log: str) -> str:
    kept = "the old one serves on" if old is not None else "nothing serves, as before"
    return f"release {release.version} is refused: {reason}; {kept}. Its last lines:\n{log or '(none)'}"
