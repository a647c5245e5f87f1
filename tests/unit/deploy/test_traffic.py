"""Counts of servers, and the judgement that they lead to: cases around each limit."""

import math

import pytest

from mlops_assets.deploy.traffic import (
    LEAST,
    Baseline,
    PathTraffic,
    Traffic,
    Watch,
    baseline,
    more_errors,
    read_traffic,
)
from mlops_assets.params.operations import Watching
from mlops_assets.serving.metrics import Metrics


def path(answered: int, failed: int = 0, **slow: int) -> PathTraffic:
    """`slow` of them lie in the bucket that ends at 1 s, the rest in the one that ends at 0.1 s."""
    late = slow.get("slow", 0)
    return PathTraffic(answered, failed, ((0.1, answered + failed - late), (0.25, 0), (0.5, 0), (1.0, late)))


def traffic(answered: int, failed: int = 0, *, slow: int = 0) -> Traffic:
    return Traffic({"/predict": path(answered, failed, slow=slow), "/predict/batch": path(0)})


def test_the_counts_are_read_from_what_the_server_says():
    metrics = Metrics()
    for name, status, seconds in (
        ("/predict", "200", 0.003),
        ("/predict", "200", 0.7),
        ("/predict", "429", 0.0005),
        ("/predict", "422", 0.0005),
        ("/predict", "500", 0.02),
        ("/predict", "503", 11.0),
        ("/predict/batch", "200", 0.3),
        ("/health", "200", 0.3),
        ("/explain", "500", 0.3),
    ):
        metrics.requests.labels(name, "POST", status).inc()
        metrics.latency.labels(name).observe(seconds)
    read = read_traffic(metrics.exposition().decode())
    one, several = read.paths["/predict"], read.paths["/predict/batch"]
    assert (one.answered, one.failed) == (2, 2)
    assert {bound: count for bound, count in one.buckets if count} == {0.001: 2, 0.005: 1, 0.025: 1, 1: 1, math.inf: 1}
    assert (several.answered, several.failed) == (1, 0)
    assert (read.judged, read.failed) == (5, 2)


def test_a_server_that_was_asked_nothing_has_no_traffic():
    read = read_traffic(Metrics().exposition().decode())
    assert (read.judged, read.failed_share) == (0, 0.0)


def test_what_came_since_is_the_difference_and_after_a_restart_all_of_it():
    assert path(30, 3) - path(10, 1) == path(20, 2)
    assert path(5, 1) - path(10, 1) == path(5, 1)
    assert path(10) - path(5, 1) == path(10)


def test_probes_are_no_traffic():
    counted = Traffic({"/predict": path(3), "/predict/batch": path(5, slow=2)})
    rest = counted.without([0.05, 0.6])
    assert rest.paths["/predict"] == path(3)
    assert rest.paths["/predict/batch"] == path(3, slow=1)
    assert counted.without([0.05] * 9).paths["/predict/batch"].answered == 0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (PathTraffic(0, 0, ((0.1, 0), (math.inf, 0))), 0.0),
        (PathTraffic(100, 0, ((0.1, 100), (0.25, 0))), 0.09),
        (PathTraffic(100, 0, ((0.1, 90), (0.25, 10))), 0.1),
        (PathTraffic(100, 0, ((0.1, 90), (0.25, 0), (0.5, 10))), 0.25),
        (PathTraffic(100, 0, ((0.1, 91), (0.25, 9))), 0.1 * 90 / 91),
        (PathTraffic(100, 0, ((0.1, 80), (0.25, 20))), 0.175),
        (PathTraffic(100, 0, ((0.1, 0), (0.25, 50), (math.inf, 50))), 0.25),
        (PathTraffic(10, 0, ((0.1, 99), (1.0, 1))), 0.1),  # 90 were refused at once
    ],
)
def test_the_slowest_tenth_is_counted_from_the_slow_end(given, seconds):
    assert given.slowest_tenth_s() == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (traffic(1000), traffic(0), False),
        (traffic(999, 1), traffic(0), True),
        (traffic(999, 1), traffic(1000), True),
        (traffic(0, 1), traffic(1000), True),
        (traffic(999, 1), traffic(10_000_000, 3), True),
        # One is expected: five have a chance of 0.37 %, six of 0.06 %.
        (traffic(25, 5), traffic(29, 1), False),
        (traffic(24, 6), traffic(29, 1), True),
        (traffic(0, 30), traffic(29, 1), True),
        (traffic(900, 100), traffic(900, 100), False),
        (traffic(870, 130), traffic(900, 100), False),
        (traffic(867, 133), traffic(900, 100), True),
        (traffic(1, 2), traffic(90, 10), False),
        (traffic(0, 1000), traffic(0, 1000), False),
        (traffic(1000), traffic(900, 100), False),
    ],
)
def test_more_errors_are_those_that_the_old_ones_rate_does_not_explain(new, old, worse):
    assert bool(more_errors(new, old)) is worse


def test_the_reason_names_both_rates():
    assert more_errors(traffic(24, 6), traffic(29, 1)) == (
        "it answered 6 of 30 requests (20.0%) with a server error, the old one 1 of 30 requests (3.3%)"
    )


@pytest.mark.parametrize(
    ("at_start", "at_switch", "errors"),
    [
        (traffic(1000), traffic(1030), traffic(30)),
        (traffic(1000), traffic(1018, 2), traffic(18, 2)),
        (traffic(1000), traffic(1017, 2), traffic(1017, 2)),  # 19 requests in the window
        (traffic(970, 30), traffic(1070, 30), traffic(1070, 30)),  # 100 requests at 2.7 %: none need be seen
        (traffic(900, 100), traffic(950, 100), traffic(50)),  # 50 requests at 9.5 %: one would have been seen
        (traffic(900, 100), traffic(949, 101), traffic(49, 1)),
        (traffic(0), traffic(10, 9), Traffic()),
    ],
)
def test_the_usual_errors_are_those_before_the_switch_unless_they_say_too_little(at_start, at_switch, errors):
    found = baseline(at_start, at_switch).errors
    assert (found.judged, found.failed) == (errors.judged, errors.failed)


@pytest.mark.parametrize(
    ("at_start", "at_switch", "usual_s"),
    [
        (traffic(100, slow=100), traffic(100 + LEAST, slow=100), 0.09),
        (traffic(100, slow=100), traffic(99 + LEAST, slow=100), 0.5 + 0.5 * (1 - 11.9 / 100)),
        (traffic(0), traffic(LEAST - 1), None),
    ],
)
def test_the_usual_latency_is_that_before_the_switch_unless_too_few_asked(at_start, at_switch, usual_s):
    found = baseline(at_start, at_switch).latencies_s
    assert found == ({} if usual_s is None else {"/predict": pytest.approx(usual_s)})


def test_the_old_ones_probes_are_not_its_traffic():
    for asked, known in ((LEAST + 3, {"/predict/batch": pytest.approx(0.09)}), (LEAST + 2, {})):
        at_switch = Traffic({"/predict": path(0), "/predict/batch": path(asked)})
        assert baseline(Traffic(), at_switch, [0.05] * 3).latencies_s == known


def looks(usual_s: float, *counted: Traffic, watching: Watching | None = None) -> list[str]:
    watch = Watch(Baseline(Traffic(), {"/predict": usual_s}), traffic(0), (watching or Watching()).limit_s)
    return [watch.look(one, ()) for one in counted]


def test_one_that_is_slow_again_and_again_is_refused_at_the_third_look():
    found = looks(0.01, *(traffic(10 * look, slow=2 * look) for look in (1, 2, 3, 4)))
    assert found[:2] == ["", ""]
    assert found[2] == (
        "it is too slow: the slowest tenth of its answers to /predict takes 0.750 s or more, "
        "the old one's 0.010 s, allowed is 0.250 s"
    )


def test_too_few_requests_are_not_judged_by_their_latency():
    for asked, refused in ((LEAST - 1, False), (LEAST, True)):
        assert any(looks(0.01, *(traffic(count, slow=count) for count in (5, 10, asked)))) is refused


def test_one_stall_rolls_nothing_back():
    assert not any(looks(0.01, traffic(8, slow=8), *(traffic(8 + 8 * look, slow=8) for look in range(1, 9))))


@pytest.mark.parametrize(("usual_s", "refused"), [(0.15, False), (0.1499, True)])
def test_exactly_so_many_times_the_usual_is_allowed(usual_s, refused):
    # 20 % between 0.5 and 1 s: the slowest tenth begins at 0.75 s, five times 0.15 s.
    assert any(looks(usual_s, *(traffic(20 * look, slow=4 * look) for look in (1, 2, 3)))) is refused


@pytest.mark.parametrize(("always_fast_s", "refused"), [(0.75, False), (0.7499, True)])
def test_up_to_what_is_always_fast_nothing_is_too_slow(always_fast_s, refused):
    watching = Watching(always_fast_s=always_fast_s)
    counted = (traffic(20 * look, slow=4 * look) for look in (1, 2, 3))
    assert any(looks(0.001, *counted, watching=watching)) is refused


def test_a_path_that_the_old_one_was_not_asked_is_not_judged_by_latency():
    watch = Watch(Baseline(), traffic(0), Watching().limit_s)
    assert not any(watch.look(traffic(30 * look, slow=30 * look), ()) for look in range(1, 6))
    assert not watch.knows_latency
