"""What the overview page shows of topics, and what becomes of it when a review is erased."""

import re

import pytest

from mlops_assets.serving.pages.topics import topics_part
from mlops_assets.steps.topics.shown import ShownTopics
from tests.unit.reviews.rows import APP
from tests.unit.reviews.topics.invented import complaints, everything
from tests.unit.steps.topics.place import Place, no_model, two_releases

__all__ = ["no_model"]  # a fixture


@pytest.fixture
def place(tmp_path, no_model) -> Place:
    return two_releases(tmp_path)


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_page_shows_topics_with_intervals_and_how_two_releases_differ(place):
    shown = ShownTopics(place.settings, "d").overview()
    assert shown is not None
    page = words_of(topics_part(shown))
    assert "By the answers of model m1 to" in page
    assert "distinct negative texts" in page
    assert re.search(r"negative-\d [a-z, ]+ \d+\.\d% \[\d+\.\d%, \d+\.\d%\], n = \d+", page)
    assert f"{APP}: the two newest releases with enough reviews" in page
    (pair,) = shown["compared"]
    assert (pair["before"], pair["after"]) == ("1.0", "1.1")
    negative, rose, *others = pair["rows"]
    assert negative["what"] == "negative reviews"
    assert {"login", "kode", "otp", "verifikasi", "sandi"} & set(re.findall(r"\w+", rose["what"]))
    assert rose["beyond_chance"]
    assert "rose" in page
    assert shown["releases"][0]["version"] == "1.1"
    assert shown["releases"][0]["topics"][0]["title"] in rose["what"]
    assert others[-1]["rise"] < 0
    for topic in shown["topics"]:
        assert len(topic["trend"]) == len(shown["months"]) == 2
        assert all(share["low"] <= share["hits"] / share["n"] <= share["high"] for share in topic["trend"])


def test_markup_in_a_review_or_a_name_is_shown_as_text(place):
    shown = ShownTopics(place.settings, "d").overview()
    assert shown is not None
    shown["topics"][0]["title"] = "<script>alert(1)</script>"
    shown["topics"][0]["examples"] = ["<img src=x>"]
    page = topics_part(shown)
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page


def test_an_erased_review_leaves_the_examples_and_nothing_else_is_read_again(place):
    shown = ShownTopics(place.settings, "d").overview()
    assert shown is not None
    gone = shown["topics"][0]["examples"][0]
    for month in ("2026-01", "2026-02"):
        place.without(month, gone)
    assert ShownTopics(place.settings, "d").overview(shown) is shown
    again = ShownTopics(place.settings, "after the erasure").overview(shown)
    assert again is not None
    assert gone not in again["topics"][0]["examples"]


def test_before_topics_were_found_there_is_no_part(tmp_path):
    assert ShownTopics(Place(tmp_path).settings, "d").overview() is None
    assert topics_part(None) == ""


def test_rows_of_the_database_are_those_of_the_months_that_are_asked_for(place):
    rows = ShownTopics(place.settings, "d").rows()
    assert set(rows.months) == {f"{APP}/2026-01", f"{APP}/2026-02"}
    counted = rows.counts({f"{APP}/2026-02"})
    assert {row["month"] for row in counted} == {"2026-02-01"}
    assert sum(row["reviews"] for row in counted) == len([*everything(8, seed=2), *complaints("login", 60, seed=5)])
    assert [row["position"] for row in rows.listed()] == [1, 2, 3, 4]
