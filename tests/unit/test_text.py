import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.text import char_ngrams, normalise, text_digest, word_ngrams

ANY = st.text(st.characters(codec=None, exclude_categories=[]), max_size=60)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Bagus\n\tsekali ", "bagus sekali"),
        ("ＭＡＮＴＡＰ", "mantap"),
        ("ma\u200bn\ufefftap\u2060", "mantap"),
        ("𝓑𝓪𝓰𝓾𝓼", "bagus"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("na", "na"),
        ("\u200b", ""),
        ("", ""),
    ],
)
def test_texts_that_look_alike_become_one(text, normal):
    assert normalise(text) == normal


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_normalising_again_changes_nothing_but_what_unicode_itself_does_not_settle(text):
    once = normalise(text)
    if unicodedata.normalize("NFKC", once).lower() == once:
        assert normalise(once) == once
    assert text_digest(text) == text_digest(f" {text}\u200b ")


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_every_n_gram_is_a_piece_of_the_text(text):
    normal = normalise(text)
    squeezed = normal.replace(" ", "")
    for gram in word_ngrams(text):
        assert gram.replace(" ", "") in squeezed
    for gram in char_ngrams(text):
        assert gram.strip() in normal
        assert len(gram) >= 2


def test_word_n_grams_count_every_occurrence_and_keep_marks():
    assert word_ngrams("Tidak bagus!! 👍", 2) == ["tidak", "bagus", "!!", "👍", "tidak bagus", "bagus !!", "!! 👍"]
    assert word_ngrams("ok ok", 1) == ["ok", "ok"]
    assert word_ngrams("") == []


def test_character_n_grams_stay_inside_their_word_and_know_its_borders():
    assert char_ngrams("Ok ya", 2, 3) == [" o", "ok", "k ", " ok", "ok ", " y", "ya", "a ", " ya", "ya "]


def test_a_word_shorter_than_the_n_gram_counts_once_whole():
    assert char_ngrams("a", 2, 5) == [" a", "a ", " a "]
    assert char_ngrams("") == []


def test_a_caller_may_change_what_it_was_given():
    first = char_ngrams("bagus")
    first.clear()
    assert char_ngrams("bagus")
