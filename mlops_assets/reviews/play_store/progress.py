"""How far an open crawl has come, from its pages; whether a page is its last. No file, no network."""

import hashlib
import itertools
import math
from collections.abc import Sequence

import numpy as np

from mlops_assets.reviews.play_store.crawl_state import JournalPage, OpenCrawl
from mlops_assets.reviews.play_store.feed import Cookies, Page

ENOUGH = "read as many of the newest reviews as it may"
"""Why a segment ended that did not reach what it was to read."""


class CrawlProgress:
    """What an open crawl knows from the pages in its journal.

    About the whole crawl: which reviews it saw, the newest second, and the digests of the reviews in that second.
    About its newest segment, which is one way down from the newest review: how to go on, and why it ended.
    """

    def __init__(self) -> None:
        self.seen = SeenIds()
        self.newest_s, self.newest_ids = 0, set[int]()
        self.start_segment(0)

    def start_segment(self, number: int) -> None:
        """Begin again at the newest review."""
        self.segment = number
        self.token: str | None = None
        self.cookies: Cookies = ()
        self.pages = self.reviews = self.known = 0
        self.end: str | None = None
        self.low_s: int | None = None
        self._tokens, self._seen_in_segment = set[str](), SeenIds()

    @property
    def fresh(self) -> bool:
        """Whether the segment has not read a page yet."""
        return self.pages == 0

    def add(self, page: JournalPage) -> None:
        """Go on behind `page`."""
        if page.segment != self.segment:
            self.start_segment(page.segment)
        self.token, self.cookies, self.known = page.token, page.cookies, page.known
        self.end, self.low_s = page.end, page.low_s
        self.pages += 1
        self.reviews += len(page.reviews)
        if page.token:
            self._tokens.add(page.token)
        latest_s = int(page.scraped_at.timestamp())
        for review in page.reviews:
            digest = id_digest(review.review_id)
            self.seen.add(digest)
            self._seen_in_segment.add(digest)
            # A date in the future must not become the mark behind which everything counts as known.
            at_s = min(review.at_s, latest_s)
            if at_s > self.newest_s:
                self.newest_s, self.newest_ids = at_s, set()
            if at_s == self.newest_s:
                self.newest_ids.add(digest)

    def repeats(self, page: Page) -> bool:
        """Whether the segment has seen every review of a page that is not the last."""
        return bool(page.token and page.reviews) and all(
            review.review_id in self._seen_in_segment for review in page.reviews
        )

    def has_followed(self, token: str | None) -> bool:
        """Whether the segment has had this token before."""
        return token in self._tokens


def judge_end(
    page: Page, crawl: OpenCrawl, known: int, overlap_s: float, wanted: float = math.inf
) -> tuple[int, str | None, int | None]:
    """Three answers about `page`: how many known reviews the segment has seen with it (`known` before it), why the
    segment ends here or None, and the oldest second that it has then read without a gap.

    `wanted` is how many more reviews the segment may read.
    """
    times = [review.at_s for review in page.reviews]
    end = low_s = None
    if crawl.mark_s is not None:
        mark_s = crawl.mark_s
        known += sum(
            review.at_s < mark_s or (review.at_s == mark_s and id_digest(review.review_id) in crawl.mark_ids)
            for review in page.reviews
        )
        if times and (known >= len(times) or _mostly_before(times, mark_s - overlap_s)):
            end, low_s = "reached what it already had", _gapless_from(times)
    elif times and _mostly_before(times, crawl.floor_s):
        end, low_s = "covered the requested months", crawl.floor_s
    if end is None and len(times) >= wanted:
        end, low_s = ENOUGH, _gapless_from(times)
    if page.token is None:
        end, low_s = "the feed ended", 0
    return known, end, low_s


def _mostly_before(times: Sequence[int], limit_s: float) -> bool:
    """Whether at least half of a page is older: a single review out of order must not end a crawl."""
    return 2 * sum(at_s < limit_s for at_s in times) >= len(times)


def _gapless_from(times: Sequence[int]) -> int:
    """The oldest second of which no review can be on a later page."""
    ordered = all(earlier >= later for earlier, later in itertools.pairwise(times))
    return (times[-1] if ordered else max(times)) + 1


class SeenIds:
    """Which reviews a crawl has seen, in eight bytes each."""

    _RECENT = 20_000

    def __init__(self) -> None:
        self._old = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __contains__(self, review_id: str) -> bool:
        digest = id_digest(review_id)
        if digest in self._recent:
            return True
        at = int(np.searchsorted(self._old, np.uint64(digest)))
        return at < len(self._old) and int(self._old[at]) == digest

    def add(self, digest: int) -> None:
        self._recent.add(digest)
        if len(self._recent) >= self._RECENT:
            self._old = np.union1d(self._old, np.fromiter(self._recent, np.uint64, len(self._recent)))
            self._recent.clear()


def id_digest(review_id: str) -> int:
    """Eight bytes instead of an id, so that a state file holds nothing of a review that is erased."""
    return int.from_bytes(hashlib.blake2b(review_id.encode(), digest_size=8).digest(), "big")
