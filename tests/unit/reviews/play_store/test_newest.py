"""A crawl that reads only so many of an app's newest reviews, as for reference apps."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.reviews.play_store.collect import collect_app
from mlops_assets.reviews.play_store.crawl import CrawlResult
from mlops_assets.reviews.play_store.crawl_state import CrawlState
from mlops_assets.reviews.stored.store import ReviewStore
from tests.collection_cases import APP, NOW, OPTIONS, feed_of
from tests.fakes.play_store import FakePlayStore, Fault, MemoryPlayStore

Tick = Callable[..., CrawlResult]
LATER = NOW + timedelta(days=30)


@pytest.fixture
def fake() -> FakePlayStore:
    fake = FakePlayStore(page_size=20)
    fake.add(APP, feed_of(400))
    return fake


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    return ReviewStore(tmp_path / "raw")


@pytest.fixture
def tick(fake: FakePlayStore, store: ReviewStore) -> Tick:
    def run(most: int | None, now=NOW) -> CrawlResult:
        play = MemoryPlayStore(fake)
        return collect_app(store, play, APP, ["2016-01"], now=now, options=OPTIONS, most=most)

    return run


def test_a_crawl_ends_with_the_page_that_has_enough_and_the_next_one_reads_what_is_new(fake, store, tick) -> None:
    done = tick(50)
    assert (done.status, done.pages, store.count(APP)) == ("whole", 3, 60)
    assert {*ids(store)} == {f"gp:{number:06}" for number in range(60)}
    fake.add(APP, feed_of(5, last=NOW + timedelta(hours=5), every=timedelta(hours=1), first=1000))
    again = tick(50, NOW + timedelta(hours=6))
    assert (again.status, again.changes.new, again.pages, again.changes.deleted) == ("whole", 5, 2, 0)


def test_a_larger_number_reads_on_and_a_smaller_one_reads_nothing_twice(store, tick) -> None:
    tick(50)
    assert tick(20).pages == 1
    assert tick(90).pages == 5
    assert store.count(APP) == 100
    assert tick(None).reason == "the feed ended"
    assert store.count(APP) == 400
    assert tick(1000).pages == 1


def test_a_short_feed_is_whole_at_its_end(store, tick) -> None:
    assert tick(1000).reason == "the feed ended"
    assert (tick(1000).pages, store.count(APP)) == (1, 400)


def test_after_a_pause_the_newest_are_read_and_no_review_behind_the_gap_counts_as_deleted(fake, store, tick) -> None:
    tick(50)
    fake.add(APP, feed_of(300, last=LATER, every=timedelta(hours=1), first=1000))
    done = tick(50, LATER)
    assert (done.status, done.pages, done.changes.deleted) == ("whole", 3, 0)
    assert store.count(APP) == 120
    # The gap is never closed, so what lies behind it is not covered: one page of new reviews does not reach it.
    assert CrawlState.load(store.folder / APP, "id").whole.since_s > int(NOW.timestamp())
    assert tick(50, LATER).pages == 1


@pytest.mark.parametrize("at", [1, 2, 3])
def test_cut_off_anywhere_the_next_run_goes_on_to_the_same_end(fake, store, tick, at: int) -> None:
    fake.faults = [Fault(kind="429", at=at, times=3)]
    assert tick(50).status == "partial"
    assert tick(50).status == "whole"
    assert {*ids(store)} >= {f"gp:{number:06}" for number in range(50)}
    assert store.count(APP) <= 80
    assert tick(50).pages == 1


def ids(store: ReviewStore) -> list[str]:
    return [str(review) for month in store.months(APP) for review in store.read(APP, month)["review_id"]]
