"""One crawl of one app: each page into the journal, batches of pages into the months, an end that has a reason."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store import deletions
from mlops_assets.reviews.play_store.crawl_state import (
    SOURCE,
    CoveredSpan,
    CrawlState,
    HeldDeletions,
    Journal,
    JournalPage,
    OpenCrawl,
    rows_of,
)
from mlops_assets.reviews.play_store.feed import Cookies, Feed, OpensFeeds, Page, PageMissing, TokenRefused
from mlops_assets.reviews.play_store.progress import ENOUGH, CrawlProgress, id_digest, judge_end
from mlops_assets.reviews.sources.review_source import AppCollection
from mlops_assets.reviews.stored.store import ReviewStore, StoredChanges

_EMPTY_ANSWERS = 3
"""Answers to one request, each without a review but with a next token, after which the page counts as missing."""
_STUCK_RUNS = 2
"""Runs in a row without the next page after which a token counts as dead: the crawl starts from the newest review."""
_REPORT_PAGES = 10


@dataclass(frozen=True, kw_only=True)
class CrawlResult(AppCollection):
    """How one crawl of an app went.

    reached: date of the last review that was read, or None
    resumed: it went on where an earlier run had stopped
    held: reviews that vanished, too many to be believed
    """

    pages: int = 0
    requests: int = 0
    reviews: int = 0
    reached: datetime | None = None
    resumed: bool = False
    held: int = 0


class Crawl:
    """The crawl of one app by the only run that collects it.

    `state` is changed in place and saved at every step that must survive a kill; `result` says what the run did so far.
    """

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
        most: int | None = None,
    ) -> None:
        """`most`: how many of the newest reviews a crawl reads, to the end of their page; None reads all."""
        self.state, self._most = state, most
        self.result = CrawlResult(
            app_id, "partial", f"collecting {app_id} was interrupted: run again to go on", StoredChanges()
        )
        self._store, self._play, self._app_id = store, play, app_id
        self._now, self._options, self._report = now, options, report
        self._folder = store.folder / app_id
        self._journal = Journal(self._folder)
        self._erased = store.erased
        self._progress = CrawlProgress()
        self._pending: list[JournalPage] = []
        # Without this thread a crawl of 100,000 reviews, 50 ms a page, brings 11 to 15 % fewer reviews per second.
        self._months = ThreadPoolExecutor(1, thread_name_prefix="months")
        self._batch: tuple[Future[StoredChanges], int] | None = None
        self._flushed = 0

    def read_down_to(self, floor_s: int) -> str:
        """Crawl from the newest review to `floor_s`; why it ended."""
        return self._start(OpenCrawl(self._now.isoformat(), floor_s, None))

    def read_what_is_new(self, covered: CoveredSpan) -> str:
        """Crawl from the newest review to those of the last crawl, and an overlap; why it ended."""
        return self._start(
            OpenCrawl(self._now.isoformat(), covered.since_s, covered.newest_s, list(covered.newest_ids))
        )

    def finish(self) -> str:
        """Go on with the open crawl where it stopped, then read what was posted since; why it ended."""
        crawl, progress = self._open, self._replay()
        if crawl.stuck >= _STUCK_RUNS:
            self._report(f"{self._app_id}: the stored token gave nothing {crawl.stuck} times, starting from the newest")
            self._next_segment()
        resumed = not progress.fresh
        self._count(resumed=resumed)
        try:
            reason = self._read_segment()
        except TokenRefused:
            if not resumed:
                raise
            self._report(f"{self._app_id}: the stored token is dead, starting from the newest review")
            resumed = False
            self._next_segment()
            reason = self._read_segment()
        if resumed:
            crawl.mark_s, crawl.mark_ids = progress.newest_s, sorted(progress.newest_ids)
            self._next_segment()
            reason = self._read_segment()
        return self._complete(reason)

    def close(self) -> None:
        """Wait for a batch that is being written."""
        self._months.shutdown()

    def keep(self) -> None:
        """Bring the journal's pages into the months and leave the crawl open."""
        self._flush()

    def drop_leftovers(self) -> None:
        """Store the pages in the journal of a crawl that is not open: of another language, or killed at its end."""
        for page in self._journal.pages():
            self._put(page)
        self._flush()
        self._journal.clear()

    @property
    def _open(self) -> OpenCrawl:
        if self.state.open is None:
            raise AssertionError("no crawl is open")
        return self.state.open

    def _start(self, crawl: OpenCrawl) -> str:
        self._journal.clear()
        self._progress, self._flushed = CrawlProgress(), 0
        self.state.open = crawl
        self.state.save(self._folder)
        return self._complete(self._read_segment())

    def _replay(self) -> CrawlProgress:
        """The progress that the journal proves; its pages that are not in the months yet are stored again."""
        for number, page in enumerate(self._journal.pages()):
            self._progress.add(page)
            if number >= self._open.flushed:
                self._put(page)
            else:
                self._flushed += 1
        if self._progress.segment != self._open.segment:
            self._progress.start_segment(self._open.segment)
        return self._progress

    def _next_segment(self) -> None:
        self._open.segment += 1
        self._open.stuck = 0
        self.state.save(self._folder)
        self._progress.start_segment(self._open.segment)

    def _read_segment(self) -> str:
        """Read on to the segment's end; why it ended. Raises `PageMissing` if it was cut off."""
        progress, crawl = self._progress, self._open
        if progress.end is None:
            before = progress.pages
            with closing(self._play.open(progress.cookies)) as feed:
                try:
                    self._read_pages(feed)
                except PageMissing:
                    if before and progress.pages == before:
                        crawl.stuck += 1
                    raise
                finally:
                    self._count(requests=self.result.requests + feed.requests)
        cut = progress.end == ENOUGH
        crawl.cut |= cut
        if crawl.low_s is None or cut:
            crawl.low_s = progress.low_s
        return progress.end or ""

    def _read_pages(self, feed: Feed) -> None:
        progress, with_old_token = self._progress, not self._progress.fresh
        while progress.end is None:
            page = self._fetch(feed, progress.token)
            if with_old_token and not page.reviews and page.token is None:
                raise TokenRefused(f"{self._app_id}: the store answers an old token with nothing: run again")
            with_old_token = False
            if progress.repeats(page):
                raise PageMissing(f"{self._app_id}: the feed repeats a page after {progress.pages}: run again")
            looped = progress.has_followed(page.token)
            stored = self._judge(page, feed.cookies())
            self._journal.append(stored)
            progress.add(stored)
            self._report_page(stored)
            self._put(stored)
            if looped and stored.end is None:
                raise PageMissing(f"{self._app_id}: the feed repeats a token after {progress.pages} pages: run again")

    def _fetch(self, feed: Feed, token: str | None) -> Page:
        """The page behind `token`. One that is empty and yet not the last hides reviews, so it is never followed."""
        for _ in range(_EMPTY_ANSWERS):
            page = feed.fetch(self._app_id, token)
            if page.reviews or page.token is None:
                return page
        raise PageMissing(
            f"{self._app_id}: a page is empty although more follow it, {_EMPTY_ANSWERS} times in a row: run again"
        )

    def _judge(self, page: Page, cookies: Cookies) -> JournalPage:
        """The page as it is stored, with the reason to end here if there is one."""
        overlap_s = self._options.overlap_days * 86_400
        wanted = math.inf if self._most is None else self._most - self._progress.reviews
        known, end, low_s = judge_end(page, self._open, self._progress.known, overlap_s, wanted)
        return JournalPage(
            segment=self._open.segment,
            reviews=[review for review in page.reviews if not self._erased.covers(review)],
            scraped_at=self._now,
            token=page.token,
            cookies=cookies,
            known=known,
            end=end,
            low_s=low_s,
        )

    def _put(self, page: JournalPage) -> None:
        """Add a page to the batch, and begin to write the batch if it is full."""
        self._pending.append(page)
        if sum(len(waiting.reviews) for waiting in self._pending) >= self._options.flush_reviews:
            self._write_batch()

    def _write_batch(self) -> None:
        """Write the pending pages into the months while the next pages are read; one batch at a time."""
        self._await_batch()
        pages, self._pending = self._pending, []
        self._batch = self._months.submit(self._store_pages, pages), len(pages)

    def _store_pages(self, pages: Sequence[JournalPage]) -> StoredChanges:
        return self._store.upsert(self._app_id, rows_of(self._app_id, pages))

    def _await_batch(self) -> None:
        """Wait until the batch is in the months, and note that its pages are there."""
        if self._batch is None:
            return
        (writing, pages), self._batch = self._batch, None
        self._count(changes=self.result.changes + writing.result())
        self._flushed += pages
        if self.state.open:
            self.state.open.flushed = self._flushed
            self.state.save(self._folder)

    def _flush(self) -> None:
        """Bring everything read so far into the months."""
        if self._pending:
            self._write_batch()
        self._await_batch()

    def _report_page(self, page: JournalPage) -> None:
        self._count(pages=self.result.pages + 1, reviews=self.result.reviews + len(page.reviews))
        if page.reviews:
            self._count(reached=datetime.fromtimestamp(page.reviews[-1].at_s, UTC))
        if self.result.pages == 1 or self.result.pages % _REPORT_PAGES == 0:
            reached = f"{self.result.reached:%Y-%m-%d}" if self.result.reached else "nothing"
            self._report(f"{self._app_id}: page {self.result.pages}, {self.result.reviews} reviews, reached {reached}")

    def _count(self, **figures: Any) -> None:
        self.result = replace(self.result, **figures)

    def _complete(self, reason: str) -> str:
        """Close the crawl: judge what vanished, and write down which span is covered."""
        self._flush()
        crawl, before = self._open, self.state.whole
        low_s = crawl.low_s if crawl.low_s is not None else crawl.floor_s
        self._judge_deletions(low_s)
        if self.state.held and low_s == 0:
            # A feed that ended too early does not show where its end is.
            low_s = before.since_s if before else crawl.floor_s
        newest_s, newest_ids = self._progress.newest_s, sorted(self._progress.newest_ids)
        if before and not newest_s:
            newest_s, newest_ids = before.newest_s, before.newest_ids
        self.state.whole = CoveredSpan(
            # Between a crawl that was cut short and what was covered before, there may be a gap.
            since_s=min(low_s, before.since_s) if before and not crawl.cut else low_s,
            newest_s=newest_s,
            newest_ids=newest_ids,
            ended_at=self._now.isoformat(),
            most=self._most if crawl.cut else before.most if before else None,
        )
        self.state.open = None
        self.state.save(self._folder)
        self._journal.clear()
        return reason

    def _judge_deletions(self, low_s: int) -> None:
        """Mark what the feed no longer shows as deleted, or hold it for a person if it is too much."""
        if self.state.other_languages:
            # Which language's feed a stored review belongs to is not known, so absence from this one says nothing.
            return
        before = self.state.held
        held = before.review_ids if before else []
        gone = deletions.vanished(
            self._store, self._app_id, self._progress.seen, since_s=low_s, source=SOURCE, held=held
        )
        reason = deletions.too_many(gone, self._options.deletions_percent)
        if reason and not self._options.accept_deletions:
            self._count(held=sum(len(month.review_ids) for month in gone))
            since_s = min(month.oldest_s for month in gone)
            self.state.held = HeldDeletions(
                review_ids=[id_digest(review_id) for month in gone for review_id in month.review_ids],
                reason=reason,
                since_s=since_s,
                checked=before is not None and low_s <= since_s,
            )
            return
        self.state.held = None
        for month in gone:
            deleted = self._store.mark_deleted(self._app_id, month.review_ids, self._now)
            changes = StoredChanges(deleted=deleted, months=(month.month,))
            self._count(changes=self.result.changes + changes)
