"""One review told by Google Play and by files: whose date, text and reply hold."""

import pandas as pd
import pytest

from mlops_assets.reviews.stored.store import ReviewStore
from tests.unit.reviews.rows import APP, frame, history_months, review

PLAY = {"source": "play_store", "review_date": "2025-01-10T00:30:00Z", "scraped_at": "2025-02-01T00:00:00Z"}
LOCAL = {"source": "import", "review_date": "2025-01-10T07:30:00Z", "scraped_at": "2025-01-10T07:30:00Z"}


@pytest.fixture
def reviews(tmp_path):
    return ReviewStore(tmp_path / "raw")


def only(reviews: ReviewStore) -> dict:
    (row,) = [row for month in reviews.months(APP) for row in reviews.read(APP, month).to_dict("records")]
    return row


def test_plays_reply_and_likes_are_taken_over_an_import_in_local_time(reviews):
    reviews.upsert(APP, frame(review("1", **LOCAL)))
    report = reviews.upsert(APP, frame(review("1", **PLAY, thumbs_up=9, reply_text="Terima kasih")))
    assert (report.updated, report.edited, report.outdated) == (1, 0, 0)
    row = only(reviews)
    assert (row["thumbs_up"], row["reply_text"], row["source"]) == (9, "Terima kasih", "play_store")
    assert row["review_date"] == pd.Timestamp("2025-01-10T00:30:00Z")
    assert history_months(reviews) == []
    assert reviews.upsert(APP, frame(review("1", **LOCAL))).months == ()


@pytest.mark.parametrize("source", ["import", "file"])
@pytest.mark.parametrize("hours", [7, -8, 14, 5.75, 24 * 40])
def test_a_file_never_moves_the_date_of_what_play_knows(reviews, source, hours):
    reviews.upsert(APP, frame(review("1", **PLAY, thumbs_up=9, reply_text="Terima kasih")))
    date = pd.Timestamp(PLAY["review_date"]) + pd.Timedelta(hours=hours)
    reviews.upsert(APP, frame(review("1", source=source, review_date=date, scraped_at=date)))
    row = only(reviews)
    assert (row["review_date"], row["source"]) == (pd.Timestamp(PLAY["review_date"]), "play_store")
    assert row["reply_text"] == "Terima kasih"
    assert history_months(reviews) == []


@pytest.mark.parametrize(("source", "scraped"), [("import", "2025-01-10"), ("file", "2026-01-01")])
def test_an_old_file_that_is_read_today_takes_nothing_from_play(reviews, source, scraped):
    reviews.upsert(APP, frame(review("1", **PLAY, thumbs_up=9, reply_text="Halo [name], kami sudah memperbaikinya")))
    old = {**LOCAL, "source": source, "scraped_at": scraped}
    assert reviews.upsert(APP, frame(review("1", **old, thumbs_up=0, reply_text="Halo [name]"))).months == ()


def test_a_review_at_the_turn_of_a_month_goes_back_to_plays_month(reviews):
    reviews.upsert(APP, frame(review("1", source="import", review_date="2025-02-01T02:00:00Z")))
    report = reviews.upsert(APP, frame(review("1", **{**PLAY, "review_date": "2025-01-31T19:00:00Z"})))
    assert (report.moved, report.months) == (1, ("2025-01", "2025-02"))
    assert only(reviews)["review_date"].month == 1


def test_a_text_whose_spaces_a_spreadsheet_changed_is_the_same_review(reviews):
    reviews.upsert(APP, frame(review("1", **PLAY, review_text="bagus\n\nsekali")))
    assert reviews.upsert(APP, frame(review("1", **LOCAL, review_text="bagus\r\nsekali "))).months == ()
    assert history_months(reviews) == []


@pytest.mark.parametrize(
    ("date", "wins"),
    [
        ("2025-01-10T14:30:00Z", False),  # fourteen hours: the zone alone may make it later
        ("2025-01-20T00:00:00Z", False),  # Play was asked after that and showed the other text
        ("2025-02-05T00:00:00Z", True),
    ],
)
def test_an_edit_in_a_file_counts_only_if_it_was_written_after_play_was_asked(reviews, date, wins):
    reviews.upsert(APP, frame(review("1", **PLAY, review_text="dari Play")))
    edit = review("1", source="import", review_date=date, scraped_at=date, review_text="dari berkas")
    reviews.upsert(APP, frame(edit))
    assert (only(reviews)["review_text"] == "dari berkas") == wins
    # Play is asked again: what it shows holds, and reading the file again changes nothing any more.
    reviews.upsert(APP, frame(review("1", **{**PLAY, "scraped_at": "2025-03-01"}, review_text="dari Play")))
    assert only(reviews)["review_text"] == "dari Play"
    assert reviews.upsert(APP, frame(edit)).months == ()


def test_an_edit_that_play_shows_is_taken_over_an_older_file_in_local_time(reviews):
    reviews.upsert(APP, frame(review("1", **LOCAL, review_text="lama")))
    report = reviews.upsert(
        APP, frame(review("1", **{**PLAY, "review_date": "2025-01-10T02:00:00Z"}, review_text="baru"))
    )
    assert (report.edited, only(reviews)["review_text"]) == (1, "baru")


@pytest.mark.parametrize("source", ["import", "file"])
def test_a_file_read_again_in_its_true_zone_moves_its_reviews_without_a_version(reviews, source):
    reviews.upsert(APP, frame(review("1", **{**LOCAL, "source": source})))
    true = {"source": source, "review_date": "2025-01-10T00:30:00Z", "scraped_at": "2025-01-10T00:30:00Z"}
    report = reviews.upsert(APP, frame(review("1", **true)))
    assert (report.updated, report.edited, report.outdated) == (1, 0, 0)
    assert only(reviews)["review_date"] == pd.Timestamp("2025-01-10T00:30:00Z")
    assert reviews.upsert(APP, frame(review("1", **true))).months == ()


@pytest.mark.parametrize("source", ["file", "import"])
def test_a_stored_reply_with_a_name_is_masked_by_reading_the_file_again(reviews, source):
    reviews.upsert(APP, frame(review("1", source=source, reply_text="Halo Budi, maaf")))
    report = reviews.upsert(APP, frame(review("1", source=source, reply_text="Halo [name], maaf")))
    assert (report.updated, report.edited) == (1, 0)
    assert only(reviews)["reply_text"] == "Halo [name], maaf"
    assert history_months(reviews) == []


def test_an_older_file_still_masks_and_one_without_names_never_unmasks(reviews):
    reviews.upsert(APP, frame(review("1", source="file", reply_text="Halo Budi, maaf", thumbs_up=3)))
    early = review("1", source="import", scraped_at="2026-01-15", reply_text="Halo [name], maaf")
    assert reviews.upsert(APP, frame(early)).updated == 1
    row = only(reviews)
    assert (row["reply_text"], row["thumbs_up"]) == ("Halo [name], maaf", 3)
    late = review("1", source="file", scraped_at="2026-03-01", reply_text="Halo Budi, maaf", thumbs_up=3)
    assert reviews.upsert(APP, frame(late)).months == ()


def test_a_new_reply_is_taken_also_where_a_mask_would_fit_it(reviews):
    reviews.upsert(APP, frame(review("1", **PLAY, reply_text="[name]")))
    later = {**PLAY, "scraped_at": "2025-03-01"}
    reviews.upsert(APP, frame(review("1", **later, reply_text="Terima kasih")))
    assert only(reviews)["reply_text"] == "Terima kasih"


def test_the_name_leaves_the_older_versions_too(reviews):
    old = review("1", review_text="lama", reply_text="Halo Budi, maaf")
    new = review("1", review_text="baru", review_date="2026-02-03", scraped_at="2026-03-01")
    reviews.upsert(APP, frame(old, new))
    assert reviews.read_history(APP, "2026-01")["reply_text"].tolist() == ["Halo Budi, maaf"]
    reviews.upsert(APP, frame({**old, "reply_text": "Halo [name], maaf"}, new))
    assert reviews.read_history(APP, "2026-01")["reply_text"].tolist() == ["Halo [name], maaf"]
