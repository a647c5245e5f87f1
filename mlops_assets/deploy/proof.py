"""What an instance must show before and while it serves: that it is ready, its versions, golden answers and time."""

from collections.abc import Callable, Sequence
from typing import Any

from mlops_assets.artifact import Golden
from mlops_assets.deploy.backend import Instance, Running, Servers
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import Watching

GOLDEN_TOLERANCE = 1e-2
"""As in the server: int8 kernels differ between processors by up to 6e-3."""
PROBES = 3
"""The machine, not the release, explains a single slow answer."""
_POLL_S = 0.05
_PUBLIC_S = 10.0


class WrongAnswer(PermanentFailure):
    """The instance answers, but not as its release says."""


class Unanswered(WrongAnswer):
    """The golden sentences got a refusal or a server error instead of an answer."""


def wait_until_ready(
    new: Instance,
    servers: Running[Instance],
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Raise `WrongAnswer` if it ends, says that it is broken, or is not ready in time."""
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


def prove_public(
    new: Instance,
    release: Release,
    servers: Servers[Instance],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Clients reach the release: what listens on the public port may lead elsewhere, or nowhere."""
    until = clock() + _PUBLIC_S
    while reason := elsewhere(release, servers):
        if not servers.running(new):
            raise WrongAnswer("it ended")
        if clock() >= until:
            raise WrongAnswer(f"clients do not reach it: {reason}")
        sleep(_POLL_S)


def elsewhere(release: Release, servers: Servers[Any]) -> str:
    """What the public port answers instead of the release; empty if it leads there."""
    try:
        reply = servers.public().ask("GET", "/health")
    except NoAnswer as error:
        return str(error)
    answered = reply.body.get("release_version")
    return "" if answered == release.version else f"the public port answers {reply.status} of release {answered}"


def prove(instance: Instance, release: Release, golden: tuple[Golden, ...], servers: Running[Instance]) -> float:
    """Version and golden answers are those of the release; returns the seconds that the golden answers took."""
    health = servers.ask(instance, "GET", "/health").body
    for name, wanted in (
        ("model_version", release.model_version),
        ("dataset_version", release.dataset_version),
        ("release_version", release.version),
    ):
        if health.get(name) != wanted:
            raise WrongAnswer(f"it names {name} {health.get(name)}, the release is {wanted}")
    return golden_answers(instance, golden, servers)


def golden_answers(instance: Instance, golden: tuple[Golden, ...], servers: Running[Instance]) -> float:
    """Raise `WrongAnswer` unless they are as sealed; returns the seconds that they took."""
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


def probe(old: Instance | None, golden: tuple[Golden, ...], servers: Servers[Instance]) -> list[float]:
    """The seconds that the old one needs for the golden sentences under its present load; empty if it is down."""
    if old is None or not golden:
        return []
    try:
        replies = [servers.ask(old, "POST", "/predict/batch", _question(golden)) for _ in range(PROBES)]
    except NoAnswer:
        return []  # The old one is down: any right answer is better.
    return [reply.seconds for reply in replies if reply.status == 200]  # a refusal is quick, and no answer


def refuse_slow(took_s: Sequence[float], old_took_s: Sequence[float], watching: Watching) -> None:
    """Raise `WrongAnswer` if it is too slow."""
    if reason := too_slow(took_s, old_took_s, watching):
        raise WrongAnswer(reason)


def too_slow(took_s: Sequence[float], old_took_s: Sequence[float], watching: Watching) -> str:
    """The reason if every one of these golden probes is over the limit, which the old one's slowest probe sets.

    The machine, not the release, explains a single slow answer, so `PROBES` answers are needed to refuse one.
    """
    quickest_s, usual_s = min(took_s, default=0.0), max(old_took_s, default=0.0)
    if not usual_s or quickest_s <= watching.limit_s(usual_s):
        return ""
    return (
        f"it is too slow: {quickest_s:.2f} s for the golden sentences, the old one takes {usual_s:.2f} s, "
        f"allowed is {watching.limit_s(usual_s):.2f} s"
    )
