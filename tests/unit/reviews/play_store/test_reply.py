import json

import pytest

from mlops_assets.reviews.play_store.reply import UnreadableReply, read_page
from tests.fakes.play_store import FakeReview, envelope, error_reply

REVIEW = FakeReview(
    "gp:1",
    "Bagus Wijaya",
    "mantap",
    5,
    1_700_000_000,
    thumbs=3,
    version="2.1",
    reply="Halo Bagus",
    replied_at_s=1_700_000_100,
)


def reply(inner):
    return envelope(json.dumps(inner))


def test_a_page_has_its_reviews_and_the_next_token():
    page = read_page(reply([[REVIEW.raw()], [None, "tok"], None]), "key")
    assert page.token == "tok"
    [one] = page.reviews
    assert one[:6] == ("gp:1", "mantap", 5, 3, "2.1", 1_700_000_000)
    assert (one.reply_text, one.replied_at_s) == ("Halo [name]", 1_700_000_100)
    assert one.author is not None
    assert "Bagus" not in str(page)


@pytest.mark.parametrize(
    ("inner", "reviews", "token"),
    [
        ([], 0, None),
        ([None], 0, None),
        ([[]], 0, None),
        ([[REVIEW.raw()]], 1, None),
        ([[REVIEW.raw()], None], 1, None),
        ([[REVIEW.raw()], [None, "tok"]], 1, "tok"),
        ([[REVIEW.raw()], [None, None], None], 1, None),
        ([[REVIEW.raw()], [None, ""], None], 1, None),
        ([[REVIEW.raw()], None, [None, "tok"], None], 1, "tok"),
        ([None, [None, "tok"], None], 0, "tok"),
    ],
)
def test_every_form_of_a_page_is_read(inner, reviews, token):
    page = read_page(reply(inner), None)
    assert (len(page.reviews), page.token) == (reviews, token)


@pytest.mark.parametrize(
    ("text", "kind", "throttled"),
    [
        ("", "cut", False),
        (')]}\'\n\n[["wrb.fr","oCPfdb","[[[', "cut", False),
        ("<!doctype html><title>Before you continue</title>", "web page", False),
        (error_reply("gateway"), "PlayGatewayError", True),
        (error_reply("data"), "PlayDataError", True),
        (envelope(None), "no data", False),
        (envelope(None, [13]), "status 13", False),
        (envelope("[[["), "cut", False),
        (reply({"a": 1}), "another form", False),
        (reply([{"a": 1}]), "another form", False),
        (reply([[[None, ["x"]]]]), "without id or time", False),
        (reply([["gp:1"]]), "without id or time", False),
    ],
)
def test_what_is_no_page_is_named(text, kind, throttled):
    with pytest.raises(UnreadableReply, match=kind) as caught:
        read_page(text, None)
    assert caught.value.throttled is throttled


def test_a_review_may_speak_of_errors():
    words = FakeReview("gp:2", "X", "PlayGatewayError com.google.play.gateway.proto.PlayDataError <html>", 1, 5)
    assert read_page(reply([[words.raw()]]), None).reviews[0].review_text == words.text


@pytest.mark.parametrize("text", ["na", "null", "=1+1", "\u200b", "👍🏽", "a\nb\r\nc", "👩‍👩‍👧", "\ufeff", "", None])
def test_texts_survive_byte_for_byte(text):
    assert read_page(reply([[FakeReview("gp:3", "X", text, 1, 5).raw()]]), None).reviews[0].review_text == text


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    assert (
        read_page(reply([[FakeReview("gp:4", "X", "a\ud83db", 1, 5).raw()]]), None).reviews[0].review_text == "a\ufffdb"
    )


def test_without_a_key_there_is_no_author():
    assert read_page(reply([[REVIEW.raw()]]), None).reviews[0].author is None
