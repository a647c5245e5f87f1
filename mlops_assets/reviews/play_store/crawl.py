"""One crawl of one app: page after page into the journal, batches into the months, an end that has a reason."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_assets.reviews.play_store import deletions
from mlops_assets.reviews.play_store.crawl_place import Place, judge_end
from mlops_assets.reviews.play_store.crawl_state import (
    CrawlState,
    Held,
    Journal,
    JournalPage,
    Open,
    SeenIds,
    Whole,
    id_digest,
)
from mlops_assets.reviews.play_store.feed import Cookies, Feed, OpensFeeds, Page, PageMissing, TokenRefused
from mlops_assets.reviews.play_store.feed_rows import SOURCE, rows_of
from mlops_assets.reviews.play_store.options import CollectOptions
from mlops_assets.reviews.play_store.page_writer import Writer
from mlops_assets.reviews.stored.privacy import Erased
from mlops_assets.reviews.stored.store import ReviewStore, StoredChanges

_EMPTY_ANSWERS = 3
"""Answers without a review but with a next token, to one request, after which the page counts as missing."""
_STUCK_RUNS = 2
"""Runs in a row without the next page after which a token counts as dead and the segment starts from the top."""
_REPORT_PAGES = 10


@dataclass
class Tally:
    """What a run did, in numbers."""

    pages: int = 0
    requests: int = 0
    reviews: int = 0
    reached_s: int | None = None
    resumed: bool = False
    held: int = 0


class Crawl:
    """The crawl of one app under its lock; `state` is changed in place and saved at every step that must last."""

    def __init__(
        self,
        store: ReviewStore,
        play: OpensFeeds,
        app_id: str,
        state: CrawlState,
        *,
        now: datetime,
        options: CollectOptions,
        report: Callable[[str], None],
    ) -> None:
        self.state, self.tally, self.changes = state, Tally(), StoredChanges()
        self._store, self._play, self._app_id = store, play, app_id
        self._now, self._options, self._report = now, options, report
        self._folder = store.folder / app_id
        self._journal = Journal(self._folder)
        self._erased = Erased.load(store.folder)
        self._seen = SeenIds()
        self._top_s, self._top_ids = 0, set[int]()
        self._written = 0
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="months")
        self._batch: tuple[Future[StoredChanges], int] | None = None
        self._pending: list[JournalPage] = []
        self._pending_reviews = 0

    def read_down_to(self, floor_s: int) -> str:
        """Crawl from the newest review to `floor_s`; why it ended."""
        self._reset(Open(self._now.isoformat(), floor_s, None))
        return self._complete(self._segment(Place()))

    def read_what_is_new(self, whole: Whole) -> str:
        """Crawl from the newest review to known ground and an overlap; why it ended."""
        self._reset(Open(self._now.isoformat(), whole.since_s, whole.newest_s, whole.newest_ids))
        return self._complete(self._segment(Place()))

    def finish(self) -> str:
        """Go on with the open crawl where it stopped, then read what came on top meanwhile; why it ended."""
        crawl, place = self._opened, self._load()
        if crawl.stuck >= _STUCK_RUNS:
            self._report(f"{self._app_id}: the stored token gave nothing {crawl.stuck} times, starting from the newest")
            place = self._next_segment()
        self.tally.resumed = not place.fresh
        fresh = place.fresh
        try:
            reason = self._segment(place)
        except TokenRefused:
            if fresh:
                raise
            self._report(f"{self._app_id}: the stored token is dead, starting from the newest review")
            fresh, reason = True, self._segment(self._next_segment())
        if not fresh:
            crawl.mark_s, crawl.mark_ids = self._top_s, sorted(self._top_ids)
            reason = self._segment(self._next_segment())
        return self._complete(reason)

    def close(self) -> None:
        """Wait for a batch that is being written."""
        self._batches.shutdown()

    def keep(self) -> None:
        """Bring the journal's pages into the months and leave the crawl open."""
        self._flush()

    def drop_leftovers(self) -> None:
        """Store what lies in the journal of a crawl that is not open: of another language, or killed at its end."""
        for page in self._journal.pages():
            self._take(page)
        self._flush()
        self._journal.clear()

    @property
    def accepts_deletions(self) -> bool:
        """Whether a person said that the reviews really vanished."""
        return self._options.accept_deletions

    @property
    def _opened(self) -> Open:
        if self.state.open is None:
            raise AssertionError("no crawl is open")
        return self.state.open

    def _reset(self, crawl: Open) -> None:
        self._journal.clear()
        self._seen, self._written = SeenIds(), 0
        self._top_s, self._top_ids = 0, set()
        self.state.open = crawl
        self.state.save(self._folder)

    def _load(self) -> Place:
        """Where the journal ends; its pages beyond the flushed ones are stored again."""
        crawl, place = self._opened, Place()
        for number, page in enumerate(self._journal.pages()):
            self._note(page)
            if page.segment == crawl.segment:
                place.follow(page)
            if number >= crawl.flushed:
                self._take(page)
            else:
                self._written += 1
        return place

    def _next_segment(self) -> Place:
        self._opened.segment += 1
        self._opened.stuck = 0
        self.state.save(self._folder)
        return Place()

    def _segment(self, place: Place) -> str:
        """Page on from `place` to the segment's end; why it ended. Raises `PageMissing` where it was cut off."""
        if place.end is None:
            resumed = not place.fresh
            with closing(self._play.open(place.cookies)) as feed:
                before = place.pages
                try:
                    with Writer(self._store_page) as writer:
                        self._follow(feed, writer, place, resumed=resumed)
                except PageMissing:
                    if resumed and place.pages == before:
                        self._opened.stuck += 1
                    raise
                finally:
                    self.tally.requests += feed.requests
        crawl = self._opened
        if crawl.low_s is None:
            crawl.low_s = place.low_s
        return place.end or ""

    def _follow(self, feed: Feed, writer: Writer, place: Place, *, resumed: bool) -> None:
        """Page by page to the segment's end; a page is stored while the next one is fetched."""
        while place.end is None:
            page = self._fetch(feed, place.token)
            if resumed and not page.reviews and page.token is None:
                raise TokenRefused(f"{self._app_id}: the store answers an old token with nothing: run again")
            resumed = False
            if page.token and page.reviews and all(review.review_id in place.seen for review in page.reviews):
                raise PageMissing(f"{self._app_id}: the feed repeats a page after {place.pages}: run again")
            stored = self._judge(page, place, feed.cookies())
            looped = stored.end is None and page.token in place.tokens
            place.follow(stored)
            writer.put(stored)
            if looped:
                raise PageMissing(f"{self._app_id}: the feed repeats a token after {place.pages} pages: run again")

    def _fetch(self, feed: Feed, token: str | None) -> Page:
        """The page behind `token`. One that is empty and yet not the last hides reviews, so it is never followed."""
        for _ in range(_EMPTY_ANSWERS):
            page = feed.fetch(self._app_id, token)
            if page.reviews or page.token is None:
                return page
        raise PageMissing(
            f"{self._app_id}: a page is empty although more follow it, {_EMPTY_ANSWERS} times in a row: run again"
        )

    def _store_page(self, page: JournalPage) -> None:
        self._journal.append(page)
        self._note(page)
        self._progress(page)
        self._take(page)

    def _judge(self, page: Page, place: Place, cookies: Cookies) -> JournalPage:
        """The page as it is stored, with the reason to end here if there is one."""
        crawl = self._opened
        overlap_s = self._options.overlap_days * 86_400
        known, end, low_s = judge_end(page, crawl, place.known, overlap_s)
        return JournalPage(
            segment=crawl.segment,
            reviews=[review for review in page.reviews if not self._erased.covers(review)],
            scraped_at=self._now,
            token=page.token,
            cookies=cookies,
            known=known,
            end=end,
            low_s=low_s,
        )

    def _note(self, page: JournalPage) -> None:
        """Remember what a page says about the whole crawl."""
        latest_s = int(page.scraped_at.timestamp())
        for review in page.reviews:
            self._seen.add(review.review_id)
            # A date in the future must not become the mark behind which everything counts as known.
            at_s = min(review.at_s, latest_s)
            if at_s > self._top_s:
                self._top_s, self._top_ids = at_s, set()
            if at_s == self._top_s:
                self._top_ids.add(id_digest(review.review_id))

    def _take(self, page: JournalPage) -> None:
        self._pending.append(page)
        self._pending_reviews += len(page.reviews)
        if self._pending_reviews >= self._options.flush_reviews:
            self._begin_batch()

    def _begin_batch(self) -> None:
        """Write the pending pages into the months while the journal goes on; one batch at a time."""
        self._end_batch()
        pages, self._pending, self._pending_reviews = self._pending, [], 0
        self._batch = self._batches.submit(self._store_batch, pages), len(pages)

    def _store_batch(self, pages: Sequence[JournalPage]) -> StoredChanges:
        return self._store.upsert(self._app_id, rows_of(self._app_id, pages))

    def _end_batch(self) -> None:
        if self._batch is None:
            return
        (writing, pages), self._batch = self._batch, None
        done = writing.result()
        self.changes += done
        self._written += pages
        if self.state.open:
            self.state.open.flushed = self._written
            self.state.save(self._folder)

    def _flush(self) -> None:
        """Bring everything fetched into the months before going on."""
        if self._pending:
            self._begin_batch()
        self._end_batch()

    def _progress(self, page: JournalPage) -> None:
        self.tally.pages += 1
        self.tally.reviews += len(page.reviews)
        if page.reviews:
            self.tally.reached_s = page.reviews[-1].at_s
        if self.tally.pages == 1 or self.tally.pages % _REPORT_PAGES == 0:
            at = f"{datetime.fromtimestamp(self.tally.reached_s, UTC):%Y-%m-%d}" if self.tally.reached_s else "nothing"
            self._report(f"{self._app_id}: page {self.tally.pages}, {self.tally.reviews} reviews, reached {at}")

    def _complete(self, reason: str) -> str:
        """Close the crawl: judge what vanished, and write down what is whole."""
        self._flush()
        crawl, before = self._opened, self.state.whole
        low_s = crawl.low_s if crawl.low_s is not None else crawl.floor_s
        self._judge_deletions(low_s)
        if self.state.held and low_s == 0:
            # A feed that ended too early says nothing about where its end is.
            low_s = before.since_s if before else crawl.floor_s
        newest_s, newest_ids = self._top_s, sorted(self._top_ids)
        if before and not newest_s:
            newest_s, newest_ids = before.newest_s, before.newest_ids
        self.state.whole = Whole(
            since_s=min(low_s, before.since_s) if before else low_s,
            newest_s=newest_s,
            newest_ids=newest_ids,
            ended_at=self._now.isoformat(),
        )
        self.state.open = None
        self.state.save(self._folder)
        self._journal.clear()
        return reason

    def _judge_deletions(self, low_s: int) -> None:
        if self.state.other_languages:
            # Which language's feed a stored review belongs to is not known, so absence from this one says nothing.
            return
        before = self.state.held
        held = before.review_ids if before else []
        gone = deletions.vanished(self._store, self._app_id, self._seen, since_s=low_s, source=SOURCE, held=held)
        reason = deletions.too_many(gone, self._options.deletions_percent)
        if reason and not self._options.accept_deletions:
            self.tally.held = sum(len(month.review_ids) for month in gone)
            since_s = min(month.oldest_s for month in gone)
            self.state.held = Held(
                review_ids=[id_digest(review_id) for month in gone for review_id in month.review_ids],
                reason=reason,
                since_s=since_s,
                checked=before is not None and low_s <= since_s,
            )
            return
        self.state.held = None
        for month in gone:
            deleted = self._store.mark_deleted(self._app_id, month.review_ids, self._now)
            self.changes += StoredChanges(deleted=deleted, months=(month.month,))
