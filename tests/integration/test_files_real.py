"""Files as people really have them: each is read correctly or refused clearly."""

import csv
import io

import pytest

from mlops_assets.masking import mask
from mlops_assets.reviews.files.files import UnusableFile, read_reviews
from mlops_assets.reviews.quality.schema import validate
from mlops_assets.reviews.stored.store import ReviewStore
from tests.shared_data import real_reviews

APP = "com.example.app"


def cells(name: str, separator: str = ",") -> list[dict[str, str]]:
    text = real_reviews(name).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))


@pytest.mark.parametrize(
    ("name", "app", "rows"),
    [("pintu_reviews.csv", "com.valar.pintu", 5000), ("gojek_reviews.csv", "com.gojek.app", 10000)],
)
def test_real_reviews_are_read_byte_for_byte(name, app, rows):
    path = real_reviews(name)
    frame = read_reviews(path, known_apps=[app]).frame
    assert len(frame) == rows
    texts = {row["review_id"]: row["review_text"] for row in cells(name)}
    assert dict(zip(frame["review_id"], frame["review_text"], strict=True)) == texts
    assert validate(frame).quarantined.empty


def test_a_semicolon_file_with_a_mark_and_days_first_is_read():
    name = "odd_files/semicolon_bom_ddmmyyyy_signal.csv"
    read = read_reviews(real_reviews(name), app_id=APP)
    expected = cells(name, ";")
    assert sorted(read.frame["review_text"]) == sorted(row["ulasan"] for row in expected)
    assert read.frame["rating"].value_counts().to_dict() == {5: 973, 1: 434, 4: 153, 2: 142, 3: 90}
    assert read.balance.by_month["month"].iloc[0] == "2021-10"
    dates = sorted("-".join(reversed(row["tanggal"].split("/"))) for row in expected)
    assert read.frame["review_date"].dt.strftime("%Y-%m-%d").tolist() == dates


def test_a_semicolon_file_without_an_app_is_refused_until_the_app_is_named():
    with pytest.raises(UnusableFile, match="does not say the app of 1792 of its rows"):
        read_reviews(real_reviews("odd_files/semicolon_bom_ddmmyyyy_signal.csv"))


def test_float_stars_long_dates_and_a_row_without_stars_are_read():
    read = read_reviews(real_reviews("odd_files/float_rating_longdate_blank_rows_grab.csv"), app_id=APP)
    assert (read.balance.rows, read.balance.taken, read.balance.quarantined) == (1044, 1043, 1)
    assert read.frame["rating"].value_counts().to_dict() == {1: 766, 2: 98, 3: 78, 5: 68, 4: 33}
    assert read.balance.by_month["month"].iloc[-1] == "2025-02"
    assert validate(read.frame).reasons == {"rating is missing": 1}


def test_a_file_without_a_header_is_refused_with_what_was_looked_for():
    with pytest.raises(UnusableFile, match=r"none of the required columns: looked for review_text as .*Fitu Face"):
        read_reviews(real_reviews("odd_files/headerless_single_column_jkn.csv"), app_id=APP)


def test_texts_without_dates_are_refused_because_they_have_no_month():
    with pytest.raises(UnusableFile, match="has no review_date: looked for"):
        read_reviews(real_reviews("odd_files/hard_texts.csv"), app_id=APP)


def test_the_hardest_texts_survive_file_and_store_byte_for_byte_but_for_telephone_numbers(tmp_path):
    texts = [row["review_text"] for row in cells("odd_files/hard_texts.csv")]
    path = tmp_path / "hard.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review_id", "app_id", "review_text", "rating", "review_date"])
        writer.writerows([f"r{number}", APP, text, 5, "2026-01-01"] for number, text in enumerate(texts))
    store = ReviewStore(tmp_path / "raw")
    store.upsert(APP, read_reviews(path).frame)
    stored = store.read(APP, "2026-01")
    assert dict(zip(stored["review_id"].str[1:].astype(int), stored["review_text"], strict=True)) == dict(
        enumerate(map(mask, texts))
    )
    assert sum(text != mask(text) for text in texts) == 6  # each is a telephone number with at most a word behind it
