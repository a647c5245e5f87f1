"""The rollout: start the new one beside the old, prove it, give it its shares, switch, watch, stop the old.

It decides; a backend's `Servers` do. Whatever goes wrong, the old one serves on and the error holds the new one's log.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from mlops_assets.artifact import Golden
from mlops_assets.deploy.backend import Instance, Report, Running, Servers
from mlops_assets.deploy.canary import Step
from mlops_assets.deploy.proof import (
    PROBES,
    Unanswered,
    WrongAnswer,
    elsewhere,
    golden_answers,
    probe,
    prove,
    prove_public,
    refuse_slow,
    too_slow,
    wait_until_ready,
)
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.deploy.traffic import Traffic, Watch, baseline
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.params.operations import Watching

_LOOK_S, _STEP_LOOK_S = 0.25, 1.0
"""From one look to the next. A step may last hours, and each look costs the golden sentences."""


class DeploymentRefused(PermanentFailure):
    """The new one never went live; the old one was not touched."""


class RolledBack(PermanentFailure):
    """The new one had all requests or a share of them, and failed while it was watched; the old one has all again."""


class _Judge(Protocol):
    """Judges look by look what clients asked the new one."""

    @property
    def knows_latency(self) -> bool: ...

    def look(self, counted: Traffic, probes_s: Sequence[float]) -> str:
        """Why it must go, or nothing."""
        ...


@dataclass
class _Trial(Generic[Instance]):
    """The new one until it is alone.

    old_took_s: how long the old one took for the golden sentences
    reached: what it has of the requests, as a message begins; empty before it has any
    """

    new: Instance
    release: Release
    servers: Servers[Instance]
    watching: Watching
    report: Report
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    old_took_s: Sequence[float] = ()
    reached: str = ""


def roll_out(
    release: Release,
    servers: Servers[Instance],
    report: Report,
    watching: Watching,
    *,
    record: Report = lambda _line: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Instance:
    """Put `release` live and return its instance; raises `DeploymentRefused` or `RolledBack`.

    If one serves, the new one first gets the shares that `watching.steps` names. `record` takes a line about each.
    """
    golden = release.golden()
    servers.sweep()
    old = servers.current()
    if old is not None and _serves_already(old, release, golden, servers):
        report(f"release {release.version} serves already and answers its golden sentences")
        return old
    old_at_start = _traffic(old, servers)
    new = servers.start(release)
    trial = _Trial(new, release, servers, watching, report, clock, sleep)
    try:
        report(f"release {release.version} is starting beside {'the old one' if old is not None else 'nothing'}")
        wait_until_ready(new, servers, watching.ready_timeout_s, clock, sleep)
        _qualify(trial, old)
        if old is not None:
            _take_steps(trial, old, record)
        expected = baseline(old_at_start, _traffic(old, servers), trial.old_took_s)
        judge = Watch(expected, servers.traffic(new), watching.limit_s)
        servers.switch(new, old)
        trial.reached = "after the switch: "
        prove_public(new, release, servers, clock, sleep)
        report(f"release {release.version} is live; it is watched for {watching.watch_s:g} s")
        _watch(trial, judge, lambda passed_s: watching.watch_s - passed_s, _LOOK_S)
    except BaseException as error:
        if trial.reached and old is not None:
            servers.switch(old, new)
        log = servers.log(new)
        servers.stop(new)
        if not isinstance(error, PermanentFailure | TransientFailure):
            raise
        failure = RolledBack if trial.reached else DeploymentRefused
        raise failure(_refusal(release, f"{trial.reached}{error}", old, log)) from error
    if old is not None:
        servers.stop(old)
    return new


def _qualify(trial: _Trial[Instance], old: Instance | None) -> None:
    """Beside the old one it gives its golden answers, and quickly enough."""
    new, release, servers, watching = trial.new, trial.release, trial.servers, trial.watching
    golden = release.golden()
    trial.old_took_s = probe(old, golden, servers)
    took_s = [prove(new, release, golden, servers)]
    while len(took_s) < PROBES and too_slow(took_s, trial.old_took_s, watching):
        took_s.append(golden_answers(new, golden, servers))
    refuse_slow(took_s, trial.old_took_s, watching)
    trial.report(
        f"release {release.version} is ready: {len(golden)} golden sentences are right, in {min(took_s):.3f} s"
    )


def _take_steps(trial: _Trial[Instance], old: Instance, record: Report) -> None:
    """Give the new one its shares but the last, one after the other."""
    servers, watching = trial.servers, trial.watching
    steps: list[Step] = []
    for percent in watching.steps[:-1]:
        step = Step(percent, steps, servers.traffic(trial.new), lambda: _traffic(old, servers), watching)
        steps.append(step)
        trial.reached = f"with {percent} % of the requests: "
        servers.share(trial.new, percent)
        trial.report(f"release {trial.release.version} has {percent} % of the requests for {watching.step_s:g} s")
        started, end = trial.clock(), "stopped"
        try:
            _watch(trial, step, step.left_s, _STEP_LOOK_S)
            end = ""
        finally:
            line = step.record(trial.clock() - started, end)
            trial.report(line)
            record(line)


def try_out(release: Release, instance: Instance, servers: Running[Instance], *, timeout_s: float = 60.0) -> float:
    """Prove an instance that nobody else asks; the seconds of its golden answers, or `DeploymentRefused`."""
    try:
        wait_until_ready(instance, servers, timeout_s, time.monotonic, time.sleep)
        return prove(instance, release, release.golden(), servers)
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


def _serves_already(old: Instance, release: Release, golden: tuple[Golden, ...], servers: Servers[Instance]) -> bool:
    try:
        prove(old, release, golden, servers)
    except (NoAnswer, WrongAnswer):
        return False  # It is another release, or it is ill: a new instance takes its place.
    return servers.as_set(old) and not elsewhere(release, servers)


def _traffic(old: Instance | None, servers: Servers[Instance]) -> Traffic:
    """What the old one answered, by its own count; nothing if it is down."""
    if old is None:
        return Traffic()
    try:
        return servers.traffic(old)
    except NoAnswer:
        return Traffic()


def _watch(trial: _Trial[Instance], judge: _Judge, left_s: Callable[[float], float], every_s: float) -> None:
    """Look at the new one until nothing is left; `left_s` says how long, given the seconds that have passed."""
    new, servers, golden = trial.new, trial.servers, trial.release.golden()
    started = trial.clock()
    took_s: list[float] = []
    unanswered: Unanswered | None = None
    rest_s = left_s(0.0)
    while rest_s > 0:
        rest_s = left_s(trial.clock() - started)  # before the look: the last sleep is followed by a look too
        if not servers.running(new):
            raise WrongAnswer("it ended")
        probes_s: list[float] = []
        try:
            probes_s.append(prove(new, trial.release, golden, servers))
        except Unanswered as error:
            # The probe shares the queue and the batches of the clients, and the old one may have done no better: the
            # look counts it as one request.
            unanswered = error
        took_s.extend(probes_s)
        reason = judge.look(servers.traffic(new), probes_s if golden else ())
        if reason:
            raise WrongAnswer(reason)
        if len(took_s) >= PROBES and not judge.knows_latency:
            refuse_slow(took_s[-PROBES:], trial.old_took_s, trial.watching)
        trial.sleep(min(every_s, max(0.0, rest_s)))
    if unanswered is not None and not took_s:
        raise unanswered


def _refusal(release: Release, reason: str, old: object | None, log: str) -> str:
    kept = "the old one serves on" if old is not None else "nothing serves, as before"
    return f"release {release.version} is refused: {reason}; {kept}. Its last lines:\n{log or '(none)'}"
