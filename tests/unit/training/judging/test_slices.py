import pandas as pd
import pytest

from mlops_assets.training.judging.slices import LEAST_OF_A_LANGUAGE, newest_window, slices


def frame(*texts: str, dates: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review_text": list(texts),
            "rating": pd.array([1 + n % 5 for n in range(len(texts))], dtype="Int64"),
            "app_id": [f"app.{n % 2}" for n in range(len(texts))],
            "review_date": pd.to_datetime(dates or ["2025-01-05"] * len(texts), utc=True, format="ISO8601"),
        }
    )


@pytest.mark.parametrize(
    ("text", "name", "belongs"),
    [
        ("Tidak bagus", "negation", True),
        ("GAK bisa login", "negation", True),
        ("tidaklah", "negation", False),
        ("apk nya lemot bgt", "slang", True),
        ("Aplikasi yang sangat baik", "slang", False),
        ("bagus sekali", "at most two words", True),
        ("bagus sekali ya", "at most two words", False),
        ("!!!", "at most two words", True),
        ("mantap 👍", "emoji", True),
        ("❤", "emoji", True),
        ("mantap :)", "emoji", False),
    ],
)
def test_a_text_belongs_to_its_slices(text, name, belongs):
    masks = dict(slices(frame(text, "Aplikasi ini bekerja")))
    assert bool(name in masks and masks[name][0]) == belongs


def test_stars_apps_and_months_cut_all_reviews():
    reviews = frame("a", "b", "c", dates=["2025-01-31T23:59Z", "2025-02-01T00:00Z", "2025-02-10"])
    masks = dict(slices(reviews))
    assert masks["month 2025-01"].tolist() == [True, False, False]
    assert masks["month 2025-02"].tolist() == [False, True, True]
    assert masks["stars 2"].tolist() == [False, True, False]
    assert masks["app app.0"].tolist() == [True, False, True]


def test_each_language_with_enough_texts_is_a_slice_and_the_unknown_is_none():
    few, enough = LEAST_OF_A_LANGUAGE - 1, LEAST_OF_A_LANGUAGE
    languages = ["es"] * enough + ["script:THAI"] * few + ["unknown"] * enough
    masks = dict(slices(frame(*["a"] * len(languages)).assign(language=languages)))
    assert {name: mask.sum() for name, mask in masks.items() if name.startswith("language")} == {"language es": enough}
    assert masks["language es"][:enough].all()


@pytest.mark.parametrize(
    ("language", "text", "belongs"),
    [
        ("es", "nunca funciona min", ["negation"]),
        ("fr", "ne marche pas", ["negation"]),
        ("fr", "min sim", []),
        ("id", "gak bisa min", ["negation", "slang"]),
        ("en", "not good apk", ["negation", "slang"]),
        ("unknown", "gak min", ["negation", "slang"]),
        ("unknown", "nunca", []),
    ],
)
def test_words_are_looked_up_in_the_text_s_language(language, text, belongs):
    masks = dict(slices(frame(text).assign(language=language)))
    assert sorted({"negation", "slang"} & masks.keys()) == belongs


def test_a_slice_without_reviews_is_not_there():
    assert "emoji" not in dict(slices(frame("a")))
    assert not dict(slices(frame("a").iloc[:0]))


def test_the_newest_window_is_whole_calendar_months_up_to_the_newest_review():
    dates = ["2024-10-31", "2024-11-01", "2024-12-15", "2025-01-02"]
    reviews = frame("a", "b", "c", "d", dates=dates)
    assert newest_window(reviews, 3).tolist() == [False, True, True, True]
    assert newest_window(reviews, 1).tolist() == [False, False, False, True]
    assert newest_window(reviews.iloc[:0], 3).tolist() == []
