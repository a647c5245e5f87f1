"""Topics are found, keep their ids while their meaning stays, and are given to new texts."""

import numpy as np
import pytest

from mlops_assets.params.topics import TopicRules
from mlops_assets.reviews.topics.matching import ids_of
from mlops_assets.reviews.topics.model import TopicModel, find_topics, words_in
from mlops_assets.reviews.topics.sample import TextSample
from tests.unit.reviews.topics.invented import THEMES, complaints, everything

RULES = TopicRules(count=4, least_texts=50)


def theme_of(model: TopicModel) -> dict[str, str]:
    """Theme -> the id of the topic that most of its texts are given to."""
    found = {}
    for theme in THEMES:
        given = [topic for topic, _ in model.topics_of(complaints(theme, 40, seed=9))]
        best = max(set(given), key=given.count)
        assert given.count(best) > 35, (theme, given)
        found[theme] = str(best)
    return found


@pytest.fixture(scope="module")
def model() -> TopicModel:
    return find_topics(everything(80), RULES, "negative")


def test_each_theme_is_a_topic_with_its_own_words(model):
    topics = theme_of(model)
    assert sorted(topics.values()) == ["negative-1", "negative-2", "negative-3", "negative-4"]
    words = model.top_words(3)
    for theme, topic in topics.items():
        assert set(words[topic]) <= set(THEMES[theme])


def test_a_word_of_nearly_every_text_is_in_no_topic(model):
    assert not {"yang", "ini"} & set(model.words)


def test_more_reviews_of_the_same_things_keep_every_id_whatever_their_order(model):
    again = find_topics(everything(110, seed=3)[::-1], RULES, "negative", model)
    assert theme_of(again) == theme_of(model)
    assert again.given == 4


def test_a_new_thing_takes_a_new_id_and_the_id_of_what_is_gone_is_never_given_again(model):
    words = ("kurir", "paket", "antar", "alamat", "ongkir")
    before = theme_of(model)
    texts = [*everything(80, seed=4, without="adverts"), *complaints("courier", 80, words=words)]
    again = find_topics(texts, RULES, "negative", model)
    (new,) = set(again.ids) - set(model.ids)
    assert new == "negative-5"
    assert set(again.top_words(3)[new]) <= set(words)
    assert before["adverts"] not in again.ids
    back = find_topics(everything(80, seed=5), RULES, "negative", again)
    (returned,) = set(back.ids) - set(again.ids)
    assert returned == "negative-6"
    assert {theme: topic for theme, topic in theme_of(back).items() if theme != "adverts"} == {
        theme: topic for theme, topic in before.items() if theme != "adverts"
    }


def test_a_text_about_nothing_known_has_no_topic(model):
    assert model.topics_of(["selamat pagi semuanya", ""]) == [(None, 0.0), (None, 0.0)]


def test_few_texts_have_no_topics_and_no_text_is_given_to_one():
    model = find_topics(everything(80)[:49], RULES, "negative")
    assert model.ids == ()
    assert model.topics_of(["saldo hilang"]) == [(None, 0.0)]


def test_topics_that_vanish_for_want_of_texts_keep_their_ids_from_being_given_again(model):
    empty = find_topics(["saldo"], RULES, "negative", model)
    assert find_topics(everything(80), RULES, "negative", empty).ids[0] == "negative-5"


def test_texts_of_the_same_word_alone_have_no_topics():
    assert find_topics(["bagus"] * 100, RULES, "positive").ids == ()


def test_masks_and_drawn_out_letters_are_no_words_of_a_topic():
    assert words_in("Mantaaaap! hubungi [phone] atau [email] ya") == ["mantap", "hubungi", "atau"]


@pytest.mark.parametrize(
    ("cosine", "expected"), [(0.5, ("negative-7", "negative-2")), (0.49, ("negative-8", "negative-2"))]
)
def test_an_id_stays_exactly_from_the_limit_on(cosine, expected):
    cosines = np.array([[0.1, cosine], [0.9, 0.6]])
    found, _ = ids_of("negative", 2, cosines=cosines, before=["negative-2", "negative-7"], given=7, same_meaning=0.5)
    assert found == expected


def test_a_sample_is_the_same_whatever_the_order_and_changes_by_what_was_added():
    texts = [(f"{number * 7919 % 1000:04}", f"text {number}") for number in range(1000)]
    one, other = TextSample(50), TextSample(50)
    one.add(texts)
    other.add(texts[::-1])
    assert one.texts() == other.texts()
    assert len(one.texts()) == 50
    before = one.texts()
    one.add([("0000a", "added")])
    assert set(one.texts()) - set(before) == {"added"}
