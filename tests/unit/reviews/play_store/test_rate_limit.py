from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.reviews.play_store.rate_limit import RateLimit


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("shared", [True, False])
def test_requests_are_spread_over_the_second(clock, tmp_path, shared):
    limit = RateLimit(4, tmp_path / "rate" if shared else None, clock=clock, sleep=clock.sleep)
    times = []
    for _ in range(9):
        limit.wait()
        times.append(clock.now)
    assert times[-1] - times[0] == pytest.approx(2.0)


def test_two_holders_of_one_file_share_the_rate(clock, tmp_path):
    one, two = (RateLimit(2, tmp_path / "rate", clock=clock, sleep=clock.sleep) for _ in range(2))
    for _ in range(3):
        one.wait()
        two.wait()
    assert clock.now == pytest.approx(1_000_002.5)


def test_a_hold_stops_everyone(clock, tmp_path):
    one, two = (RateLimit(2, tmp_path / "rate", clock=clock, sleep=clock.sleep) for _ in range(2))
    one.hold(30)
    two.wait()
    assert clock.now == pytest.approx(1_000_030)


def test_a_clock_that_was_set_back_does_not_stop_the_collector(clock, tmp_path):
    limit = RateLimit(2, tmp_path / "rate", clock=clock, sleep=clock.sleep)
    limit.wait()
    clock.now -= 86_400
    limit.wait()
    assert clock.now == pytest.approx(1_000_000 - 86_400)


def test_a_torn_file_is_as_good_as_none(clock, tmp_path):
    (tmp_path / "rate").write_text("")
    RateLimit(2, tmp_path / "rate", clock=clock, sleep=clock.sleep).wait()
    assert clock.now == 1_000_000


def test_threads_do_not_slip_through_together(tmp_path):
    pauses = []
    limit = RateLimit(10, tmp_path / "rate", clock=lambda: 1000.0, sleep=pauses.append)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            pool.submit(limit.wait)
    assert sorted(pauses) == pytest.approx([n / 10 for n in range(1, 20)])
