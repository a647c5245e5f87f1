"""Shares of topics by release, and whether two releases differ beyond chance."""

from dataclasses import replace

import pandas as pd
import pytest

from mlops_assets.reviews.topics.claims import ids_were_kept, negative_reviews_have_topics
from mlops_assets.reviews.topics.figures import Share, compare, newest_pair, releases, shares_by_month, topic_shares
from mlops_assets.reviews.topics.stored import StoredTopics, Topic

TOPICS = [Topic("negative-1", "negative", ("login", "otp")), Topic("positive-1", "positive", ("mudah",), name="Easy")]


def counts(*rows: tuple[str, str, str, str, int]) -> pd.DataFrame:
    """Month, version, sentiment, topic, reviews."""
    frame = pd.DataFrame(rows, columns=["month", "app_version", "sentiment", "topic", "reviews"])
    at = pd.to_datetime(frame["month"] + "-05", utc=True)
    return frame.assign(app_id="app", first_at=at, last_at=at + pd.Timedelta(days=3))


BOTH = counts(
    ("2026-01", "1.0", "negative", "negative-1", 10),
    ("2026-01", "1.0", "negative", "", 30),
    ("2026-01", "1.0", "positive", "positive-1", 60),
    ("2026-02", "1.1", "negative", "negative-1", 70),
    ("2026-02", "1.1", "negative", "", 10),
    ("2026-02", "1.1", "neutral", "", 20),
    ("2026-02", "", "negative", "negative-1", 5),
    ("2026-02", "1.2", "negative", "negative-1", 29),
)


def test_a_topics_share_is_of_the_reviews_of_its_sentiment():
    assert topic_shares(BOTH, TOPICS) == {"negative-1": Share(114, 154), "positive-1": Share(60, 60)}


def test_a_month_without_positive_reviews_has_no_share_of_their_topics():
    assert shares_by_month(BOTH, TOPICS, 1) == {"2026-02": {"negative-1": Share(104, 114)}}


def test_releases_are_the_newest_first_and_reviews_without_a_version_are_in_none():
    found = releases(BOTH, TOPICS)
    assert [(each.version, str(each.negative.n)) for each in found] == [("1.1", "100"), ("1.2", "29"), ("1.0", "100")]
    assert [each.version for each in releases(BOTH, TOPICS, most=1)] == ["1.1"]
    assert found[0].negative == Share(80, 100)


def test_a_release_of_few_reviews_is_not_compared():
    found = releases(BOTH, TOPICS)
    pair = newest_pair(found, "app")
    assert pair is not None
    assert [each.version for each in pair] == ["1.0", "1.1"]
    assert newest_pair(found[1:], "app") is None


def test_two_releases_differ_in_what_rose_and_not_in_what_did_not():
    before, after = newest_pair(releases(BOTH, TOPICS), "app") or pytest.fail("no pair")
    negative, login = compare(before, after, TOPICS)
    assert (negative.what, round(negative.points), negative.beyond_chance) == ("negative reviews", 40, True)
    assert (login.what, login.beyond_chance) == ("negative: login, otp", True)
    assert login.low < 70 / 80 - 10 / 40 < login.high
    same = compare(before, before, TOPICS)
    assert not any(row.beyond_chance for row in same)
    assert all(row.low < 0 < row.high for row in same)


def test_more_shares_compared_need_more_to_be_beyond_chance():
    rows = [
        counts(("2026-01", "1.0", "negative", "", 50 - step), ("2026-01", "1.0", "neutral", "", 50 + step))
        for step in (0, 15)
    ]
    before, after = (releases(row, [])[0] for row in rows)
    assert compare(before, after, [])[0].beyond_chance
    many = [Topic(f"negative-{number}", "negative", ("kata",)) for number in range(20)]
    before, after = (releases(row, many)[0] for row in rows)
    assert not compare(before, after, many)[0].beyond_chance


def test_a_share_is_shown_with_its_interval_and_its_sample_size():
    assert str(Share(1, 4)) == "25.0% [4.6%, 69.9%], n = 4"


@pytest.mark.parametrize(("with_topic", "passed"), [(50, True), (49, False)])
def test_half_of_the_negative_reviews_must_have_a_topic(with_topic, passed):
    rows = counts(
        ("2026-01", "1.0", "negative", "negative-1", with_topic), ("2026-01", "1.0", "negative", "", 100 - with_topic)
    )
    claim = negative_reviews_have_topics(stored(TOPICS), rows)
    assert claim.passed is passed
    assert f"{with_topic}.0%" in claim.reason
    assert "n = 100" in claim.reason


def test_without_topics_nothing_is_judged():
    assert negative_reviews_have_topics(stored([]), BOTH).reason.startswith("not judged: 7 distinct negative texts")
    assert ids_were_kept(stored([])).reason.startswith("not judged")


@pytest.mark.parametrize(("kept", "passed"), [(6, True), (5, False)])
def test_half_of_the_topics_must_keep_their_id(kept, passed):
    claim = ids_were_kept(replace(stored(TOPICS), ids_kept=(kept, 12)))
    assert claim.passed is passed
    assert f"{kept} of 12 topics kept their id" in claim.reason


def stored(topics: list[Topic]) -> StoredTopics:
    return StoredTopics(
        version="v", made_of="", recipe="", found_in={"negative": 7}, found_at="2026-03-10", found_data="d", reviews=7,
        dataset_version="d", model_version="m", topics=topics,
    )  # fmt: skip
