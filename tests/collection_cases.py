"""What the collector promises, whatever carries the pages: run against the store in memory and over the wire."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store.collect import (
    collect_app,
    last_collection,
    months_due,
)
from mlops_assets.reviews.play_store.crawl import CrawlResult
from mlops_assets.reviews.play_store.crawl_state import CrawlState, Journal
from mlops_assets.reviews.play_store.feed import OpensFeeds
from mlops_assets.reviews.stored.store import ReviewStore
from tests.fakes.play_store import FakePlayStore, FakeReview, Fault

APP, OTHER = "com.valar.pintu", "com.gojek.app"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
OPTIONS = CollectOptions(
    requests_per_second=1000, retries=2, backoff_s=0, connect_timeout_s=30, read_timeout_s=30, flush_reviews=1000
)
HIDING = ("429", "hang", "cut", "data")
"""Faults that hide a page; the wire's own tests have the rest of them."""

Connect = Callable[[FakePlayStore], OpensFeeds]


class Killed(BaseException):
    """Stands for SIGKILL: no one may catch it."""


def seconds(when: datetime) -> int:
    return int(when.timestamp())


def review(number: int, when: datetime, **more: object) -> FakeReview:
    values: dict[str, object] = {
        "review_id": f"gp:{number:06}",
        "name": f"Wulandari {number}",
        "text": f"ulasan ke-{number}",
        "stars": number % 5 + 1,
        "at_s": seconds(when),
    }
    return FakeReview(**{**values, **more})  # pyright: ignore[reportArgumentType] - a test's shorthand


def feed_of(
    count: int, *, last: datetime = NOW, every: timedelta = timedelta(hours=3), first: int = 0
) -> list[FakeReview]:
    """`count` reviews, the newest at `last`, one every `every` back."""
    return [review(first + number, last - every * number) for number in range(count)]


class Collecting:
    """A store and a tick that collects from it; subclasses give the fixture `connect`."""

    @pytest.fixture
    def fake(self) -> FakePlayStore:
        return FakePlayStore(page_size=20)

    @pytest.fixture
    def store(self, tmp_path: Path) -> ReviewStore:
        return ReviewStore(tmp_path / "raw")

    @pytest.fixture
    def tick(self, fake: FakePlayStore, store: ReviewStore, connect: Connect) -> Callable[..., CrawlResult]:
        play = connect(fake)

        def run(
            *months: str,
            now: datetime = NOW,
            app_id: str = APP,
            options: CollectOptions = OPTIONS,
            reread: bool = False,
        ) -> CrawlResult:
            wanted = months or tuple(months_due(store, app_id, now=now, options=options))
            return collect_app(store, play, app_id, wanted, now=now, options=options, reread=reread)

        return run


class CrawlCases(Collecting):
    """How far a crawl goes, what faults cost, and that it goes on where it ended."""

    def test_the_first_crawl_ends_when_the_month_is_covered(self, fake, store, tick):
        fake.add(APP, feed_of(400))
        result = tick("2026-03")
        assert result.whole
        assert result.reason == "covered the requested months"
        march = {r.review_id for r in fake.apps[APP].values() if r.at_s >= seconds(datetime(2026, 3, 1, tzinfo=UTC))}
        assert march <= set(store.read(APP, "2026-03")["review_id"])
        assert result.pages < 400 / 20

    def test_a_feed_without_a_next_token_is_read_to_its_end(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        result = tick("2020-01")
        assert (result.whole, result.reason, result.reviews, result.pages) == (True, "the feed ended", 95, 5)
        assert stored(store) == shown(fake)

    def test_an_app_without_reviews_is_whole_and_empty(self, fake, store, tick):
        fake.add(APP)
        assert tick("2026-03").whole
        assert store.months(APP) == []

    def test_with_nothing_new_a_tick_asks_at_most_twice_and_writes_no_file(self, fake, store, tick):
        fake.add(APP, feed_of(400))
        tick("2026-03")
        before = {path: path.read_bytes() for path in store.folder.rglob("*.parquet")}
        fake.requests.clear()
        assert tick(now=NOW + timedelta(hours=6)).whole
        assert len(fake.requests) <= 2
        assert {path: path.read_bytes() for path in store.folder.rglob("*.parquet")} == before

    @pytest.mark.parametrize(
        ("new", "sizes"), [(1, (20,)), (19, (15,)), (20, (20,)), (21, (20, 15, 7)), (150, (20, 15))]
    )
    def test_a_tick_asks_for_the_new_ones_and_one_page_more(self, fake, tick, new, sizes):
        fake.page_size = lambda number: sizes[number % len(sizes)]
        fake.add(APP, feed_of(200))
        tick("2026-03")
        later = NOW + timedelta(hours=6)
        fake.add(APP, feed_of(new, last=later, every=timedelta(seconds=60), first=1000))
        fake.requests.clear()
        result = tick(now=later)
        assert (result.whole, result.changes.new) == (True, new)
        full, left = 0, new
        while left > 0:
            left -= sizes[full % len(sizes)]
            full += 1
        assert len(fake.requests) <= full + 1

    def test_forty_days_of_downtime_lose_nothing(self, fake, store, tick):
        fake.add(APP, feed_of(200))
        tick("2026-03")
        later = NOW + timedelta(days=40)
        fake.add(APP, feed_of(700, last=later, every=timedelta(hours=1), first=1000))
        assert months_due(store, APP, now=later, options=OPTIONS) == ["2026-03", "2026-04"]
        assert tick(now=later).whole
        assert {r.review_id for r in feed_of(700, first=1000)} <= set(stored(store))

    def test_reviews_that_share_the_newest_second_are_not_taken_for_known(self, fake, store, tick):
        fake.add(APP, feed_of(60))
        tick("2026-03")
        fake.add(APP, [review(2000 + n, NOW) for n in range(50)])
        tick()
        assert stored(store).keys() >= {f"gp:{2000 + n:06}" for n in range(50)}

    def test_a_date_in_the_future_hides_nothing_that_comes_later(self, fake, tick):
        fake.add(APP, [*feed_of(60), review(900, NOW + timedelta(days=300))])
        tick("2026-03")
        fake.add(APP, feed_of(70, last=NOW + timedelta(days=3), every=timedelta(minutes=1), first=3000))
        assert tick(now=NOW + timedelta(days=4)).changes.new == 70

    @pytest.mark.parametrize("kind", HIDING)
    def test_a_fault_that_passes_costs_one_request_and_no_review(self, fake, store, tick, kind):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault(kind, at=3)]
        result = tick("2020-01")
        assert (result.whole, result.requests) == (True, 6)
        assert stored(store) == shown(fake)

    @pytest.mark.parametrize("kind", HIDING)
    def test_a_fault_that_stays_is_partial_and_the_next_run_goes_on_from_there(self, fake, store, tick, kind):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault(kind, at=4, times=3)]
        torn = tick("2020-01")
        assert torn.status == "partial"
        assert APP in torn.reason
        assert len(stored(store)) == 60
        assert last_collection(store, APP, OPTIONS)[0] == "partial"
        asked = {token for token in fake.tokens(APP)[:3] if token}
        fake.requests.clear()
        again = tick("2020-01")
        assert (again.whole, again.resumed) == (True, True)
        assert asked.isdisjoint(fake.tokens(APP)[1:])
        assert stored(store) == shown(fake)
        assert last_collection(store, APP, OPTIONS)[0] == "whole"

    def test_what_came_while_a_crawl_was_open_is_read_before_it_counts_as_whole(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault("429", at=4, times=3)]
        assert not tick("2020-01").whole
        later = NOW + timedelta(hours=1)
        fake.add(APP, feed_of(30, last=later, every=timedelta(seconds=30), first=4000))
        moved = fake.edit(APP, "gp:000080", text="berubah", at_s=seconds(later))
        assert tick("2020-01", now=later).whole
        assert stored(store) == shown(fake)
        assert stored(store)[moved.review_id][0] == "berubah"

    @pytest.mark.parametrize("kind", ["loop", "repeat"])
    def test_a_feed_that_goes_round_is_partial_and_heals(self, fake, store, tick, kind):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault(kind, at=3, times=1)]
        torn = tick("2020-01")
        assert torn.status == "partial"
        assert "repeats" in torn.reason
        for _ in range(3):
            healed = tick("2020-01")
        assert healed.whole
        assert stored(store) == shown(fake)

    def test_a_feed_that_goes_round_forever_never_counts_as_whole(self, fake, tick):
        fake.add(APP, feed_of(95))
        for _ in range(5):
            fake.faults = [Fault("loop", at=1, times=1000)]
            fake.requests.clear()
            assert tick("2020-01").status == "partial"
            assert len(fake.requests) <= 4

    def test_pages_without_reviews_that_name_a_next_one_end_as_partial(self, fake, tick):
        fake.add(APP, feed_of(195))
        fake.faults = [Fault("empty", at=3, times=100)]
        assert tick("2020-01").status == "partial"

    @pytest.mark.parametrize("answers", [1, 2, 3, 5])
    def test_a_page_that_comes_back_empty_hides_no_review(self, fake, store, tick, answers):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault("empty", at=3, times=answers)]
        first = tick("2020-01")
        assert first.whole is (answers < 3)
        assert tick("2020-01").whole
        assert stored(store) == shown(fake)

    def test_a_token_that_died_starts_the_crawl_again_from_the_newest(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault("429", at=4, times=3)]
        tick("2020-01")
        fake.faults = [Fault("400", at=1, times=1)]
        result = tick("2020-01")
        assert result.whole
        assert stored(store) == shown(fake)

    def test_an_old_token_that_is_answered_with_nothing_is_not_the_end(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        fake.faults = [Fault("429", at=4, times=3)]
        tick("2020-01")
        kept = fake.apps[APP]
        real_page = fake.page
        fake.page = lambda app_id, token, backend: ([], None) if token else real_page(app_id, token, backend)
        fake.page_size = 1000
        assert tick("2020-01").whole
        assert stored(store) == {i: (r.text, r.stars, r.at_s) for i, r in kept.items()}

    @pytest.mark.slow
    def test_a_kill_at_any_page_or_write_loses_and_doubles_nothing(self, fake, store, connect, monkeypatch):
        fake.add(APP, feed_of(195))
        options = OPTIONS.model_copy(update={"flush_reviews": 50})
        dice = random.Random(5)  # noqa: S311 - where to kill is no secret
        kills = 0
        for _ in range(60):
            left = dice.randrange(1, 7)

            def dying(real):
                def call(*args, **kwargs):
                    nonlocal left, kills
                    left -= 1
                    if left == 0:
                        kills += 1
                        raise Killed
                    return real(*args, **kwargs)

                return call

            with monkeypatch.context() as patch:
                for name in ("upsert", "_commit", "mark_deleted"):
                    patch.setattr(ReviewStore, name, dying(getattr(ReviewStore, name)))
                patch.setattr(Journal, "append", dying(Journal.append))
                patch.setattr(CrawlState, "save", dying(CrawlState.save))
                try:
                    done = collect_app(store, connect(fake), APP, ["2020-01"], now=NOW, options=options)
                except Killed:
                    done = None
            ids = [i for month in store.months(APP) for i in store.read(APP, month)["review_id"]]
            assert len(ids) == len(set(ids))
            if done and done.whole:
                break
        assert kills > 3
        assert collect_app(store, connect(fake), APP, ["2020-01"], now=NOW, options=options).whole
        assert stored(store) == shown(fake)


def stored(store: ReviewStore, app_id: str = APP) -> dict[str, tuple[str, int, int]]:
    """The living rows, in the fake's terms; fails where a review stands twice."""
    rows = pd.concat([store.read(app_id, month) for month in store.months(app_id)]) if store.months(app_id) else None
    if rows is None:
        return {}
    assert rows["review_id"].is_unique
    rows = rows[rows["deleted_at"].isna()]
    at_s = rows["review_date"].astype("int64") // 1_000_000
    return {
        review_id: (text, int(stars), int(at))
        for review_id, text, stars, at in zip(rows["review_id"], rows["review_text"], rows["rating"], at_s, strict=True)
    }


def shown(fake: FakePlayStore, app_id: str = APP) -> dict[str, tuple[str | None, int, int]]:
    """What the feed shows."""
    return {review_id: (r.text, r.stars, r.at_s) for review_id, r in fake.apps[app_id].items()}
