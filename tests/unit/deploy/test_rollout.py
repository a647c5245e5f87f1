"""The table of what can go wrong, on a backend in memory: what matters is what was not touched."""

import pytest

from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack, roll_out
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import Watching
from tests.fakes.service import FakeBackend, Server
from tests.fakes.tiny_model import seal_tiny_model


def test_how_a_release_is_watched_stands_in_the_parameters():
    given = Watching.from_params({"watch_s": 30, "slower_at_most": 1.5})
    assert given == Watching(watch_s=30.0, slower_at_most=1.5)
    assert given.model_copy(update={"ready_timeout_s": 4.0}) == Watching(
        ready_timeout_s=4.0, watch_s=30.0, slower_at_most=1.5
    )


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"watch": 3}, r"deploy\.watch is no parameter, known are .*watch_s"),
        ({"watch_s": -1}, r"deploy\.watch_s must be a number from 0, got -1"),
        ({"watch_s": "long"}, r"deploy\.watch_s must be a number from 0, got 'long'"),
        ({"slower_at_most": True}, r"deploy\.slower_at_most must be a number from 0, got True"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name_value_and_rule(section, said):
    with pytest.raises(PermanentFailure, match=said):
        Watching.from_params(section)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 0.01)


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    seal_tiny_model(folder / "a")
    seal_tiny_model(folder / "b", intercept=0.5)
    return [build_release(folder / name, folder / "built") for name in ("a", "b")]


WATCHING = Watching(ready_timeout_s=5.0, watch_s=1.0)


def deploy(release, backend):
    clock = Clock()
    return roll_out(release, backend, lambda _line: None, WATCHING, clock=clock, sleep=clock.sleep)


def test_the_new_one_is_proven_before_the_switch_and_the_old_one_ends_after_it(releases):
    old = Server(releases[0])
    backend = FakeBackend(serving=old)
    new = deploy(releases[1], backend)
    assert backend.serving is new
    assert backend.steps == ["sweep", "start", "switch", "stop"]
    assert backend.stopped == [old]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("dies at once", "ended before it was ready"),
        ("never ready", "not ready within 5 s: it is loading"),
        ("broken", "it is broken"),
        ("wrong version", "names model_version 000000000000"),
        ("wrong answers", "it answers 'bagus' with"),
        ("slow", "too slow: 9.00 s"),
    ],
)
def test_what_fails_before_the_switch_leaves_the_old_one_untouched(releases, behaviour, reason):
    old = Server(releases[0])
    backend = FakeBackend(serving=old, behaviour=behaviour)
    with pytest.raises(DeploymentRefused, match=reason) as caught:
        deploy(releases[1], backend)
    assert backend.serving is old
    assert old.alive
    assert backend.steps == ["sweep", "start", "stop"]
    assert "last line of the log" in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("dies when live", "it ended"),
        ("wrong when live", "it answers 'bagus' with"),
        ("slow when live", "too slow: 9.00 s"),
        ("refuses when live", "it answers the golden sentences with status 429"),
        ("errors when live", r"3 of 3 requests \(100.0%\) with a server error, the old one is not known to fail"),
    ],
)
def test_what_fails_while_it_is_watched_gives_the_port_back(releases, behaviour, reason):
    old = Server(releases[0])
    backend = FakeBackend(serving=old, behaviour=behaviour)
    with pytest.raises(RolledBack, match=reason):
        deploy(releases[1], backend)
    assert backend.serving is old
    assert old.alive
    assert backend.steps == ["sweep", "start", "switch", "switch", "stop"]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("errors when live", r"3 of 30 requests \(10.0%\) with a server error, the old one 0 of 30 requests"),
        ("slow for clients", r"slowest tenth of its answers to /predict takes 0.550 s or more, the old one's 0.090 s"),
    ],
)
def test_what_clients_meet_at_the_new_one_and_did_not_at_the_old_one_gives_the_port_back(releases, behaviour, reason):
    old = Server(releases[0])
    backend = FakeBackend(serving=old, behaviour=behaviour, asks=30)
    with pytest.raises(RolledBack, match=reason):
        deploy(releases[1], backend)
    assert backend.serving is old
    assert backend.stopped[0].answered > 0


def test_one_that_clients_do_not_reach_through_the_public_port_gives_it_back(releases):
    old = Server(releases[0])
    backend = FakeBackend(serving=old, leads_to=old)
    reason = f"clients do not reach it: the public port answers 200 of release {releases[0].version}"
    with pytest.raises(RolledBack, match=reason):
        deploy(releases[1], backend)
    assert backend.serving is old
    assert backend.steps == ["sweep", "start", "switch", "switch", "stop"]
    backend.leads_to = None
    assert deploy(releases[1], backend).release == releases[1]


def test_one_that_fails_as_often_as_the_old_one_did_stays(releases):
    backend = FakeBackend(serving=Server(releases[0], "fails at a tenth"), behaviour="fails at a tenth", asks=30)
    new = deploy(releases[1], backend)
    assert backend.serving is new
    assert new.failed > 10


def test_where_clients_ask_enough_the_golden_probes_do_not_judge_latency(releases):
    backend = FakeBackend(serving=Server(releases[0]), behaviour="slow when live", asks=30)
    assert deploy(releases[1], backend) is backend.serving


def test_a_probe_that_is_refused_once_rolls_nothing_back(releases):
    backend = FakeBackend(serving=Server(releases[0]), behaviour="refuses once")
    new = deploy(releases[1], backend)
    assert backend.serving is new
    assert new.refused == 1


def test_an_old_one_that_refuses_the_probes_says_nothing_of_latency(releases):
    backend = FakeBackend(serving=Server(releases[0], "refuses when live"), behaviour="slow")
    assert deploy(releases[1], backend) is backend.serving


def test_an_error_right_before_the_end_of_the_watch_is_seen(releases):
    old, clock = Server(releases[0]), Clock()
    backend = FakeBackend(serving=old)

    def sleep(seconds):
        clock.sleep(seconds)
        if clock.now >= 1.0:
            backend.serving.behaviour = "errors when live"

    with pytest.raises(RolledBack, match="3 of 3 requests"):
        roll_out(releases[1], backend, lambda _line: None, WATCHING, clock=clock, sleep=sleep)
    assert backend.serving is old


def test_one_slow_answer_among_quick_ones_rolls_nothing_back(releases):
    backend = FakeBackend(serving=Server(releases[0]), behaviour="slow at times")
    new = deploy(releases[1], backend)
    assert backend.serving is new
    assert new.asked_since_switch >= 4


def test_one_slow_answer_before_the_switch_refuses_nothing(releases):
    backend = FakeBackend(serving=Server(releases[0]), behaviour="slow at first")
    assert deploy(releases[1], backend) is backend.serving


def test_a_release_that_serves_already_is_left_alone(releases):
    old = Server(releases[0])
    backend = FakeBackend(serving=old)
    assert deploy(releases[0], backend) is old
    assert backend.steps == ["sweep"]


def test_a_release_that_serves_but_answers_wrongly_is_replaced_by_itself(releases):
    old = Server(releases[0], behaviour="wrong answers")
    backend = FakeBackend(serving=old)
    assert deploy(releases[0], backend) is not old
    assert backend.stopped == [old]


def test_an_interrupted_deployment_stops_what_it_started(releases):
    old = Server(releases[0])
    backend = FakeBackend(serving=old)

    def interrupted(_line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll_out(releases[1], backend, interrupted, WATCHING)
    assert backend.serving is old
    assert len(backend.stopped) == 1
