"""Where a segment of a crawl stands, and whether a page is its last: pure."""

import itertools
from collections.abc import Sequence

from mlops_assets.reviews.play_store.crawl_state import JournalPage, Open, SeenIds, id_digest
from mlops_assets.reviews.play_store.feed import Cookies, Page


class Place:
    """How far a segment has come."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.cookies: Cookies = ()
        self.known = self.pages = 0
        self.end: str | None = None
        self.low_s: int | None = None
        self.tokens: set[str] = set()
        self.seen = SeenIds()

    @property
    def fresh(self) -> bool:
        """Whether the segment starts at the newest review."""
        return self.pages == 0

    def follow(self, page: JournalPage) -> None:
        """Stand behind `page`."""
        self.token, self.cookies, self.known = page.token, page.cookies, page.known
        self.end, self.low_s = page.end, page.low_s
        self.pages += 1
        if page.token:
            self.tokens.add(page.token)
        for review in page.reviews:
            self.seen.add(review.review_id)


def judge_end(page: Page, crawl: Open, known: int, overlap_s: float) -> tuple[int, str | None, int | None]:
    """With `page`: how many reviews on known ground the segment saw, why it ends here if it does, and from which
    second on nothing is missing then. `known` is the count before it.
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
    if page.token is None:
        end, low_s = "the feed ended", 0
    return known, end, low_s


def _mostly_before(times: Sequence[int], limit_s: float) -> bool:
    """Half of a page, and not one review: a single one out of order must not end a crawl."""
    return 2 * sum(at_s < limit_s for at_s in times) >= len(times)


def _gapless_from(times: Sequence[int]) -> int:
    """From which second on nothing that the feed holds can lie behind this page."""
    ordered = all(earlier >= later for earlier, later in itertools.pairwise(times))
    return (times[-1] if ordered else max(times)) + 1
