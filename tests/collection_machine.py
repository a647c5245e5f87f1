"""Any sequence of new, edited, answered and deleted reviews, faults and kills, as a state machine."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlops_assets.reviews.play_store.collect import collect_app, months_due
from mlops_assets.reviews.play_store.crawl import CrawlResult
from mlops_assets.reviews.play_store.crawl_state import CrawlState, Journal
from mlops_assets.reviews.play_store.feed import StoreRefused
from mlops_assets.reviews.stored.store import ReviewStore
from tests.collection_cases import APP, NOW, OPTIONS, Killed, review, seconds, shown, stored
from tests.fakes.play_store import FakePlayStore, Fault, MemoryPlayStore

STEPS = (
    (ReviewStore, "upsert"),
    (ReviewStore, "_commit"),
    (ReviewStore, "mark_deleted"),
    (Journal, "append"),
    (CrawlState, "save"),
)
FAULTS = ("429", "data", "cut", "400", "loop", "repeat", "empty")
EVER = "2020-01"


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Die before the `step`-th write, as SIGKILL would; 0 never."""
    left = step

    def dying(real):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    patches = [patch.object(owner, name, dying(getattr(owner, name))) for owner, name in STEPS]
    for one in patches:
        one.start()
    try:
        yield
    except Killed:
        pass
    finally:
        for one in patches:
            one.stop()


class CollectionMachine(RuleBasedStateMachine):
    """The feed on one side, the store on the other, and what must hold between them after every step."""

    @initialize(page_size=st.integers(1, 7), count=st.integers(0, 25))
    def open(self, page_size: int, count: int) -> None:
        self.folder = TemporaryDirectory()
        self.fake = FakePlayStore(page_size=page_size)
        self.store = ReviewStore(Path(self.folder.name))
        self.now, self.number = NOW, 0
        self.ever: set[str] = set()
        self.fake.add(APP)
        for _ in range(count):
            self.post(self.now - timedelta(days=3 * self.number))

    def post(self, when) -> None:
        self.number += 1
        self.fake.add(APP, [review(self.number, when)])

    @rule(count=st.integers(1, 9), apart_s=st.integers(0, 2))
    def new(self, count: int, apart_s: int) -> None:
        for _ in range(count):
            self.now += timedelta(seconds=apart_s)
            self.post(self.now)

    @precondition(lambda self: self.fake.apps[APP])
    @rule(data=st.data())
    def edit(self, data) -> None:
        self.now += timedelta(seconds=1)
        review_id = data.draw(st.sampled_from(sorted(self.fake.apps[APP])))
        self.fake.edit(APP, review_id, text=f"berubah {self.now:%H%M%S}", at_s=seconds(self.now))

    @precondition(lambda self: self.fake.apps[APP])
    @rule(data=st.data())
    def delete(self, data) -> None:
        self.fake.delete(APP, data.draw(st.sampled_from(sorted(self.fake.apps[APP]))))

    @precondition(lambda self: self.fake.apps[APP])
    @rule(data=st.data())
    def answer(self, data) -> None:
        review_id = data.draw(st.sampled_from(sorted(self.fake.apps[APP])))
        self.fake.edit(APP, review_id, reply="Terima kasih", replied_at_s=seconds(self.now))

    @rule(
        kind=st.sampled_from((None, *FAULTS)),
        at=st.integers(1, 6),
        times=st.sampled_from((1, 3, 9)),
        kill=st.integers(0, 12),
        days=st.integers(0, 40),
        reread=st.booleans(),
    )
    def tick(self, kind, at: int, times: int, kill: int, days: int, reread: bool) -> None:
        self.now += timedelta(days=days, seconds=1)
        self.fake.faults = [Fault(kind, at=len(self.fake.requests) + at, times=times)] if kind else []
        done = None
        # The store rejects the first request itself: nothing for a rerun to heal, and the run says so.
        with killed_before(kill), suppress(StoreRefused):
            done = self.collect(reread=reread)
        self.fake.faults = []
        if done and done.whole:
            self.nothing_is_missing()

    def collect(self, *, reread: bool = False, accept: bool = False) -> CrawlResult:
        options = OPTIONS.model_copy(update={"flush_reviews": 8, "deletions_percent": 30, "accept_deletions": accept})
        months = [EVER] if reread else months_due(self.store, APP, now=self.now, options=options)
        return collect_app(
            self.store, MemoryPlayStore(self.fake), APP, months, now=self.now, options=options, reread=reread
        )

    def nothing_is_missing(self) -> None:
        whole = CrawlState.load(self.store.folder / APP, OPTIONS.language).whole
        assert whole is not None
        here = stored(self.store)
        for review_id, form in shown(self.fake).items():
            assert form[2] < whole.since_s or here.get(review_id) == form

    @invariant()
    def nothing_stored_is_lost_or_doubled(self) -> None:
        ids = [i for month in self.store.months(APP) for i in self.store.read(APP, month)["review_id"]]
        assert len(ids) == len(set(ids))
        assert self.ever <= set(ids)
        self.ever = set(ids)

    def teardown(self) -> None:
        if not hasattr(self, "fake"):
            return
        self.fake.faults = []
        for _ in range(4):
            self.now += timedelta(seconds=1)
            done = self.collect(reread=True, accept=True)
        assert done.whole, done.reason
        assert stored(self.store) == shown(self.fake)
        self.nothing_stored_is_lost_or_doubled()
        self.folder.cleanup()
