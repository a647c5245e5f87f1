import subprocess
import sys
from datetime import UTC, datetime

import pandas as pd

from mlops_assets.reviews.quality.schema import validate
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.label import add_labels
from mlops_assets.reviews.stored.split import add_sides
from mlops_assets.text import normalise, word_ngrams, words_of

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def whole(now: datetime = NOW) -> pd.DataFrame:
    return pd.concat([sample.generate(month) for month in sample.months(sample.FIRST_MONTH, now)], ignore_index=True)


def test_only_complete_months_exist():
    assert sample.months("2020-01", datetime(2026, 1, 31, 23, 59, tzinfo=UTC)) == ["2025-12"]
    assert sample.months("2020-01", datetime(2026, 2, 1, tzinfo=UTC)) == ["2025-12", "2026-01"]
    assert sample.months("2026-01", datetime(2026, 2, 1, tzinfo=UTC)) == ["2026-01"]
    assert sample.months("2020-01", datetime(2025, 12, 31, tzinfo=UTC)) == []


def test_a_month_is_the_same_in_every_process():
    program = (
        "import hashlib; from mlops_assets.reviews.sources import sample;"
        "print(hashlib.sha256(sample.generate('2026-01').to_csv().encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "TZ": zone}, capture_output=True, check=True
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Jakarta"))
    }
    assert len(digests) == 1


def test_reviews_are_stored_reviews_of_their_month_and_all_usable():
    rows = sample.generate("2026-02")
    assert (columns.month_of(rows["review_date"]) == "2026-02").all()
    assert set(rows["app_id"]) == {"sample.app"}
    assert set(rows["source"]) == {"sample"}
    assert validate(rows).quarantined.empty
    assert rows["author"].isna().all()


def test_the_mix_is_that_of_an_app_store():
    rows = whole()
    assert 200 * 7 < len(rows) < 300 * 7
    assert 0.58 < (rows["rating"] == 5).mean() < 0.68
    assert set(rows["rating"]) == {1, 2, 3, 4, 5}
    assert rows["review_id"].is_unique
    assert 0.1 < rows["review_text"].map(normalise).duplicated().mean() < 0.4
    assert 0.15 < rows["reply_text"].notna().mean() < 0.45
    assert 0.1 < rows["app_version"].isna().mean() < 0.25
    assert rows["review_text"].str.contains("👍").any()
    assert rows["review_text"].str.contains("\n").any()


def test_stars_and_text_disagree_sometimes():
    rows = whole()
    blunt = rows[rows["review_text"].str.contains(r"nyesel unduh|jangan diunduh|mengecewakan", case=False)]
    assert 0.0 < (blunt["rating"] >= 4).mean() < 0.35


def test_a_linear_model_learns_most_of_it_and_not_all():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = add_sides(add_labels(whole(datetime(2026, 11, 1, tzinfo=UTC)), "binary"))
    train, rest = rows[rows["side"] == "train"], rows[rows["side"] != "train"]
    tfidf = TfidfVectorizer(analyzer=lambda text: word_ngrams(words_of(text)), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=3, max_iter=500).fit(tfidf.fit_transform(train["review_text"]), train["label"])
    accuracy = model.score(tfidf.transform(rest["review_text"]), rest["label"])
    assert 0.85 < accuracy < 0.95
    assert accuracy > (rest["label"] == "positive").mean() + 0.04
