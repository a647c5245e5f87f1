import re
import sys
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.text import char_ngrams, normalise, text_digest, word_ngrams, words_of

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


def as_unicode_says(text):
    """The rule without the bounds on marks and length."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"\s+", " ", re.sub("[\u200b\u200c\u2060\ufeff\u00ad]", "", folded)).strip()


@settings(max_examples=300)
@given(
    st.one_of(
        ANY,
        st.text(st.characters(categories=["Mn", "Mc", "Me"]), max_size=12),
        st.text(st.sampled_from("a =\u0338\u0344\uff9e\u200b!😀"), max_size=15),
    )
)
def test_the_bounds_change_nothing_in_a_text_that_people_write(text):
    assert normalise(text) == as_unicode_says(text)


def test_no_character_that_becomes_a_mark_escapes_the_bound():
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
            marks = unicodedata.normalize("NFKD", normalise("a" + character * 50))
            assert sum(map(bool, map(unicodedata.combining, marks))) == 30, hex(ord(character))


@pytest.mark.parametrize("between", ["", "\u200b", "\u00ad", "\u2060"])
def test_a_character_keeps_thirty_marks_whatever_invisible_stands_between_them(between):
    text = "a" + between.join(["\u0301", "\u0327"] * 1_000) + "b"
    assert len(unicodedata.normalize("NFD", normalise(text))) == 32
    assert len(unicodedata.normalize("NFD", normalise(normalise(text)))) == 32


@pytest.mark.parametrize(
    "text", ["\u0315\u0327\u0344\u0f73" * 12_500, "\ufdfa" * 50_000, "\u0315\u200b\u0327" * 16_000, "😀" * 50_000]
)
def test_the_time_and_the_length_grow_with_the_text_and_no_faster(text):
    started = time.process_time()
    normal = normalise(text)
    assert time.process_time() - started < 1  # without the bound, 7 s
    assert len(normal) <= 4 * len(text) + 100


def test_the_n_grams_of_long_words_are_not_remembered():
    tracemalloc.start()
    for number in range(8):
        char_ngrams([f"{number}" + "x" * 5_000])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000  # of 8 words, 10 MB; a client could have sent 50,000


@settings(max_examples=300)
@given(ANY)
def test_normalising_again_changes_nothing_but_what_unicode_itself_does_not_settle(text):
    once = normalise(text)
    if unicodedata.normalize("NFKC", once).lower() == once:
        assert normalise(once) == once
    assert text_digest(text) == text_digest(f" {text}\u200b ")


@settings(max_examples=300)
@given(ANY)
def test_every_n_gram_is_a_piece_of_the_text(text):
    normal = normalise(text)
    squeezed = normal.replace(" ", "")
    for gram in word_ngrams(words_of(text)):
        assert gram.replace(" ", "") in squeezed
    for gram in char_ngrams(words_of(text)):
        assert gram.strip() in normal
        assert len(gram) >= 2


def test_word_n_grams_count_every_occurrence_and_keep_marks():
    assert word_ngrams(words_of("Tidak bagus!! 👍"), 2) == [
        "tidak",
        "bagus",
        "!!",
        "👍",
        "tidak bagus",
        "bagus !!",
        "!! 👍",
    ]
    assert word_ngrams(["ok", "ok"], 1) == ["ok", "ok"]
    assert word_ngrams(words_of("")) == []


def test_character_n_grams_stay_inside_their_word_and_know_its_borders():
    assert char_ngrams(words_of("Ok ya"), 2, 3) == [" o", "ok", "k ", " ok", "ok ", " y", "ya", "a ", " ya", "ya "]


def test_a_word_shorter_than_the_n_gram_counts_once_whole():
    assert char_ngrams(["a"], 2, 5) == [" a", "a ", " a "]
    assert char_ngrams([]) == []


def test_a_caller_may_change_what_it_was_given():
    first = char_ngrams(["bagus"])
    first.clear()
    assert char_ngrams(["bagus"])
