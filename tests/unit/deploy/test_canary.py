"""A release that gets the requests step by step: when a step ends, what stops it, and what is not stopped."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.deploy.canary import ENOUGH, fails_more
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import RolledBack, roll_out
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.traffic import PathTraffic, Traffic
from mlops_assets.failures import BadSetting
from mlops_assets.params.operations import Watching
from tests.fakes.service import FakeBackend, Server, silent
from tests.fakes.tiny_model import seal_tiny_model
from tests.service_cases import CanaryCases

CANARY = Watching(steps=(5, 25, 100), step_s=10.0, watch_s=1.0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for number, name in enumerate(("a", "b", "wrong")):
        seal_tiny_model(folder / name, intercept=number / 2)
    return {name: build_release(folder / name, folder / "built") for name in ("a", "b", "wrong")}


def deploy(release, backend, watching=CANARY, report=silent):
    """The lines on record, and the seconds that it took."""
    clock, lines = Clock(), []
    roll_out(release, backend, report, watching, record=lines.append, clock=clock, sleep=clock.sleep)
    return lines, clock.now


def test_a_release_gets_each_share_in_turn_and_every_step_is_on_record(releases):
    old = Server(releases["a"])
    backend = FakeBackend(serving=old, asks=1000)
    lines, _ = deploy(releases["b"], backend)
    assert backend.steps == ["sweep", "start", "share 5", "share 25", "switch", "stop"]
    assert backend.stopped == [old]
    assert lines == [
        "5 % for 10 s: 550 requests, 0 failed, slowest tenth 0.090 s; "
        "the old one 10,450 requests, 0 failed, slowest tenth 0.090 s; judged by its clients",
        "25 % for 10 s: 2,750 requests, 0 failed, slowest tenth 0.090 s; "
        "the old one 8,250 requests, 0 failed, slowest tenth 0.090 s; judged by its clients",
    ]


@given(st.sets(st.integers(1, 99), max_size=5))
def test_any_rising_list_gives_its_shares_in_order_and_ends_with_all(releases, shares):
    steps = (*sorted(shares), 100)
    assert Watching.from_params({"steps": list(steps)}).steps == steps
    backend = FakeBackend(serving=Server(releases["a"]))
    lines, _ = deploy(releases["b"], backend, Watching(steps=steps, step_s=1.0, watch_s=0))
    given_shares = [f"share {percent}" for percent in steps[:-1]]
    assert backend.steps == ["sweep", "start", *given_shares, "switch", "stop"]
    assert [line.split(" %")[0] for line in lines] == [str(percent) for percent in steps[:-1]]


@given(st.lists(st.integers(-5, 105), max_size=4))
def test_any_other_list_is_refused(steps):
    if steps and steps == sorted(set(steps)) and steps[0] >= 1 and steps[-1] == 100:
        return
    with pytest.raises(BadSetting, match=r"deploy\.steps must be a list of rising whole numbers from 1 that ends with"):
        Watching.from_params({"steps": steps})


@pytest.mark.parametrize("given", [[True, 100], ["5", 100], [5.5, 100], 100, None])
def test_what_is_no_list_of_whole_numbers_is_refused(given):
    with pytest.raises(BadSetting, match=r"deploy\.steps must be a list"):
        Watching.from_params({"steps": given})


@pytest.mark.parametrize(
    ("asks", "ends_s", "by"),
    [
        (20 * ENOUGH, 10, "its clients"),  # each look sees 5 % of the requests
        (2 * ENOUGH, 10, "its clients"),
        (20 * ENOUGH // 20, 20, "its clients"),
        (3 * ENOUGH // 4, 30, "the golden sentences"),
        (0, 30, "the golden sentences"),
    ],
)
def test_a_step_lasts_until_clients_asked_enough_or_three_times_as_long(releases, asks, ends_s, by):
    backend = FakeBackend(serving=Server(releases["a"]), asks=asks)
    lines, _ = deploy(releases["b"], backend, CANARY.model_copy(update={"steps": (5, 100)}))
    assert lines[0].startswith(f"5 % for {ends_s} s: ")
    assert lines[0].endswith(f"judged by {by}")


@pytest.mark.parametrize(
    ("behaviour", "asks", "reason"),
    [
        ("dies when live", 0, "it ended"),
        ("wrong when live", 0, "it answers 'bagus' with"),
        ("slow when live", 0, "too slow: 9.00 s for the golden sentences"),
        (
            "slow for clients",
            1000,
            r"the slowest tenth of its answers to /predict takes 0.550 s or more, the old one's",
        ),
        ("refuses when live", 0, "it answers the golden sentences with status 429"),
        ("errors when live", 1000, r"it answered 3 of 50 requests \(6.0%\) with a server error, the old one 0 of 950 "),
        ("fails at a tenth", 1000, r"10.0%\) with a server error, the old one 0 of"),
    ],
)
def test_one_that_fails_in_its_first_step_gives_everything_back(releases, behaviour, asks, reason):
    old = Server(releases["a"])
    backend = FakeBackend(serving=old, behaviour=behaviour, asks=asks)
    with pytest.raises(RolledBack, match=f"with 5 % of the requests: .*{reason}.*; the old one serves on"):
        deploy(releases["b"], backend)
    assert backend.serving is old
    assert old.alive
    assert backend.steps == ["sweep", "start", "share 5", "switch", "stop"]
    assert backend.share_of(old) == 100


def test_what_shows_only_in_a_later_step_is_stopped_there_and_on_record(releases):
    old, clock, lines = Server(releases["a"]), Clock(), []
    backend = FakeBackend(serving=old, asks=1000)

    def sleep(seconds):
        clock.sleep(seconds)
        if backend.percent == 25:
            backend.canary.behaviour = "fails at a tenth"

    with pytest.raises(RolledBack, match=r"with 25 % of the requests: it answered \d+ of"):
        roll_out(releases["b"], backend, silent, CANARY, record=lines.append, clock=clock, sleep=sleep)
    assert backend.serving is old
    assert [line.split(" %")[0] for line in lines] == ["5", "25"]
    assert lines[1].endswith("; stopped")


@pytest.mark.parametrize("asks", [100, 1000])
def test_a_chance_error_stops_nothing(releases, asks):
    backend = FakeBackend(serving=Server(releases["a"]), behaviour="fails once", asks=asks)
    lines, _ = deploy(releases["b"], backend)
    assert ", 1 failed" in lines[0]
    assert backend.serving.release == releases["b"]


def test_errors_that_both_have_stop_nothing(releases):
    old = Server(releases["a"], "fails at a tenth")
    backend = FakeBackend(serving=old, behaviour="fails at a tenth", asks=1000)
    deploy(releases["b"], backend)
    assert backend.serving.release == releases["b"]


def test_an_interrupt_in_a_step_gives_everything_back(releases):
    old = Server(releases["a"])
    backend = FakeBackend(serving=old)

    def interrupted(line):
        if "25 % of the requests" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(releases["b"], backend, report=interrupted)
    assert backend.steps[-2:] == ["switch", "stop"]
    assert backend.share_of(old) == 100


def test_without_one_that_serves_there_are_no_steps(releases):
    backend = FakeBackend()
    assert deploy(releases["a"], backend)[0] == []
    assert backend.steps == ["sweep", "start", "switch"]


def traffic(judged, failed):
    return Traffic({"/predict": PathTraffic(judged - failed, failed)})


@pytest.mark.parametrize(
    ("periods", "stops"),
    [
        # With 5 % of the requests each error is the new one's with a probability of 5 %.
        ([((100, 1), (1900, 0))], False),
        ([((100, 2), (1900, 0))], False),  # 0.25 %
        ([((100, 3), (1900, 0))], True),  # 0.01 %
        ([((100, 5), (1900, 95))], False),
        ([((100, 5), (1900, 1))], True),
        ([((100, 5), (300, 0))], True),  # 0.098 %
        ([((100, 4), (300, 0))], False),  # 0.39 %
        ([((100, 2), (1900, 0)), ((100, 2), (300, 0))], True),  # two steps together
        ([((100, 2), (1900, 0)), ((100, 0), (300, 0))], False),
        # An hour in which both fail more often says nothing of the new one, although it has more requests then.
        ([((100, 0), (1900, 0)), ((100, 30), (300, 90))], False),
        ([((10, 10), (0, 0))], False),  # nothing to compare with
        ([((50_000, 5_000), (50_000, 5_000))], False),
        ([((50_000, 5_500), (50_000, 5_000))], True),
    ],
)
def test_more_errors_than_the_old_ones_in_the_same_time_stop_it(periods, stops):
    given = [(traffic(*new), traffic(*old)) for new, old in periods]
    assert bool(fails_more(given)) is stops


def draws(rate, old_rate, count):
    """The share of canaries with 100 requests in each step that are stopped by errors."""
    chance, stopped = random.Random(0), 0  # noqa: S311  the same draws each time
    for _ in range(count):
        periods = []
        for asked, beside in ((100, 1900), (100, 300)):
            new, old = (sum(chance.random() < p for _ in range(n)) for p, n in ((rate, asked), (old_rate, beside)))
            periods.append((traffic(asked, new), traffic(beside, old)))
        stopped += bool(fails_more(periods[:1]) or fails_more(periods))
    return stopped / count


def test_of_releases_that_fail_at_a_twentieth_nearly_all_are_stopped_and_of_equal_ones_nearly_none():
    assert draws(0.05, 0.0, 200) >= 0.97
    assert draws(0.01, 0.01, 200) <= 0.02


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("process", r"got \[5, 25, 100\].*set DEPLOY_TARGET=docker, or set deploy.steps: \[100\]"),
        (
            "auto",
            r"which DEPLOY_TARGET=auto takes while no Docker engine .* answers, .*start them, or set deploy.steps",
        ),
    ],
)
def test_steps_without_weights_are_refused_before_anything_starts(releases, tmp_path, wanted, said):
    backends = FakeBackend(tmp_path, "docker", answers=False), FakeBackend(tmp_path, "process")
    service = Service(*backends, wanted=wanted, watching=CANARY)
    for refused in (service.refuse_steps_without_shares, lambda: service.deploy(releases["a"], silent)):
        with pytest.raises(BadSetting, match=said):
            refused()
    assert backends[1].steps == []


def test_the_same_release_with_other_settings_goes_at_once(releases, tmp_path):
    backend = FakeBackend(tmp_path, "docker")
    service = Service(backend, watching=CANARY)
    service.deploy(releases["a"], silent)
    backend.settings = "a key"
    assert service.deploy(releases["a"], silent).changed
    assert not any(step.startswith("share") for step in backend.steps)


class TestInMemory(CanaryCases):
    @pytest.fixture
    def service(self, tmp_path):
        return Service(FakeBackend(tmp_path / "state", "docker"))

    @pytest.fixture
    def releases(self, releases):
        return releases
