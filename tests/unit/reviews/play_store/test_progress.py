"""Where a crawl ends, at the limits of its rules."""

from datetime import UTC, datetime

import pytest

from mlops_assets.reviews.play_store.crawl_state import JournalPage, OpenCrawl
from mlops_assets.reviews.play_store.feed import FeedReview, Page
from mlops_assets.reviews.play_store.progress import CrawlProgress, id_digest, judge_end

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FLOOR = OpenCrawl(NOW.isoformat(), floor_s=1000, mark_s=None)
MARK = OpenCrawl(NOW.isoformat(), floor_s=0, mark_s=1000, mark_ids=[id_digest("r1000")])


def page(*times: int, last: bool = False) -> Page:
    return Page(
        [FeedReview(f"r{at_s}", "bagus", 5, 0, None, at_s, None, None, None) for at_s in times],
        None if last else "next",
    )


def stored(page: Page, segment: int = 0) -> JournalPage:
    return JournalPage(segment, page.reviews, NOW, page.token, (), known=0)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (page(1003, 1002, 1001, 1000), None),
        (page(1003, 1002, 1001, 999), None),
        (page(1003, 1002, 999, 998), "covered the requested months"),
        (page(1003, 1002, last=True), "the feed ended"),
        (page(), None),
    ],
)
def test_a_crawl_to_a_month_ends_when_half_a_page_is_older(found, end):
    assert judge_end(found, FLOOR, 0, 0.0)[1] == end


def test_a_crawl_for_new_reviews_ends_when_it_has_seen_a_page_of_known_ones():
    known, end, _ = judge_end(page(1002, 1001, 1000), MARK, 0, 86_400)
    assert (known, end) == (1, None)
    known, end, low_s = judge_end(page(999, 998, 997), MARK, known, 86_400)
    assert (known, end, low_s) == (4, "reached what it already had", 998)


def test_another_review_of_the_newest_known_second_is_new():
    same_second = Page([FeedReview("another", None, 5, 0, None, 1000, None, None, None)], "next")
    assert judge_end(same_second, MARK, 0, 86_400)[0] == 0


def test_out_of_order_nothing_older_than_the_newest_of_the_page_counts_as_read():
    assert judge_end(page(900, 950), MARK, 0, 0.0) == (2, "reached what it already had", 951)


def test_a_page_that_the_segment_has_seen_is_a_repeat_and_in_the_next_segment_it_is_not():
    progress = CrawlProgress()
    progress.add(stored(page(1003, 1002)))
    assert progress.repeats(page(1003, 1002))
    assert not progress.repeats(page(1003, 1001))
    assert not progress.repeats(page(1003, last=True))
    assert progress.has_followed("next")
    progress.start_segment(1)
    assert progress.fresh
    assert not progress.repeats(page(1003, 1002))
    assert "r1003" in progress.seen


def test_a_date_in_the_future_counts_as_the_time_of_the_page():
    progress = CrawlProgress()
    later_s = int(NOW.timestamp()) + 1000
    progress.add(stored(page(later_s, 1000)))
    assert progress.newest_s == int(NOW.timestamp())
    assert progress.newest_ids == {id_digest(f"r{later_s}")}
