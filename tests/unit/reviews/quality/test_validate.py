import pandas as pd
import pytest

from mlops_assets.reviews.quality import validate
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.steps.take_imports import nothing_taken
from mlops_assets.steps.validate import ValidatedReviews
from tests.unit.reviews.rows import APP, frame, review


@pytest.fixture
def store(tmp_path):
    store = ReviewStore(tmp_path / "raw")
    store.upsert(
        APP,
        frame(
            review("1"),
            review("2", rating=7, review_text=" "),
            review("3", deleted_at="2026-01-20"),
            review("4", review_date="2026-03-01", scraped_at="2026-04-01"),
        ),
    )
    return store


def test_good_and_bad_reviews_lie_in_their_files(store, tmp_path):
    january, march = validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    assert (january.good, january.quarantined, january.deleted) == (1, 1, 1)
    assert january.reasons == {"rating is not 1 to 5": 1, "text is empty": 1}
    assert january.examples[0]["review_id"] == "2"
    assert columns.read_frame(tmp_path / "validated" / APP / "2026-01.parquet")["review_id"].tolist() == ["1"]
    bad = pd.read_parquet(tmp_path / "quarantine" / APP / "2026-01.parquet")
    assert bad["reasons"].tolist() == ["text is empty; rating is not 1 to 5"]
    assert march.good == 1
    assert not (tmp_path / "quarantine" / APP / "2026-03.parquet").exists()


def test_masks_over_personal_data_are_on_record_and_add_up_over_months(store, tmp_path):
    store.upsert(
        APP,
        frame(
            review(
                "5", review_text="hubungi 0812-0000-1111 atau contoh@example.com", reply_text="tulis ke cs@example.com"
            ),
            review("6", rating=7, review_text="0812-0000-1111"),
            review("7", review_date="2026-03-01", scraped_at="2026-04-01", review_text="rek BCA 1234567890"),
        ),
    )
    for _ in ("validated", "known"):
        months = validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
        assert months[0].masked == {"review_text": {"email": 1, "phone": 2}, "reply_text": {"email": 1}}
        assert ValidatedReviews(tuple(months), nothing_taken(), 1, valid=True).masked == [
            {"kind": "phone", "reviews": 2, "replies": 0},
            {"kind": "email", "reviews": 1, "replies": 1},
            {"kind": "account", "reviews": 1, "replies": 0},
        ]


def test_an_unchanged_month_is_not_read_again(store, tmp_path, monkeypatch):
    first = validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    store.upsert(APP, frame(review("5", review_date="2026-03-02", scraped_at="2026-04-01")))
    judged = []
    monkeypatch.setattr(
        validate.schema,
        "validate",
        lambda rows, judge=validate.schema.validate: judged.append(len(rows)) or judge(rows),
    )
    january, march = validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    assert january.unchanged
    assert (january.good, january.reasons, january.examples) == (first[0].good, first[0].reasons, first[0].examples)
    assert not march.unchanged
    assert judged == [2]


def test_a_file_that_is_no_month_is_neither_validated_nor_removed(store, tmp_path):
    validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    mine = tmp_path / "validated" / APP / "2026-01 copy.parquet"
    mine.write_bytes(b"mine")
    assert validate.months_outdated(tmp_path, APP) == []
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("damage", ["validated", "quarantine"])
def test_a_month_whose_result_was_touched_is_made_again(store, tmp_path, damage):
    validate.validate_months(tmp_path, APP, ["2026-01"])
    path = tmp_path / damage / APP / "2026-01.parquet"
    sound = path.read_bytes()
    path.write_bytes(b"damaged")
    assert "2026-01" in validate.months_outdated(tmp_path, APP)
    assert not validate.validate_months(tmp_path, APP, ["2026-01"])[0].unchanged
    assert path.read_bytes() == sound


def test_a_file_with_a_known_stamp_is_not_hashed_again(store, tmp_path, monkeypatch):
    validate.validate_months(tmp_path, APP, ["2026-01"])
    monkeypatch.setattr(validate, "sha256", lambda path: pytest.fail(f"{path} was read"))
    assert validate.validate_months(tmp_path, APP, ["2026-01"])[0].unchanged


def test_a_changed_rule_validates_everything_again(store, tmp_path, monkeypatch):
    validate.validate_months(tmp_path, APP, ["2026-01"])
    monkeypatch.setattr(validate, "_rules_digest", lambda: "other rules")
    assert not validate.validate_months(tmp_path, APP, ["2026-01"])[0].unchanged


def test_a_month_that_is_gone_leaves_nothing(store, tmp_path):
    validate.validate_months(tmp_path, APP, ["2026-01"])
    store.path(APP, "2026-01").unlink()
    assert validate.validate_months(tmp_path, APP, ["2026-01"])[0].good == 0
    assert not (tmp_path / "validated" / APP / "2026-01.parquet").exists()
    assert not (tmp_path / "quarantine" / APP / "2026-01.parquet").exists()


def test_a_month_without_a_usable_review_has_no_validated_file(store, tmp_path):
    validate.validate_months(tmp_path, APP, ["2026-03"])
    store.mark_deleted(
        APP, ["4"], columns.to_frame(columns.read_table(store.path(APP, "2026-03")))["scraped_at"].iloc[0]
    )
    assert validate.validate_months(tmp_path, APP, ["2026-03"])[0].good == 0
    assert not (tmp_path / "validated" / APP / "2026-03.parquet").exists()


def test_a_month_that_an_edit_emptied_is_outdated(store, tmp_path):
    assert validate.months_outdated(tmp_path, APP) == ["2026-01", "2026-03"]
    validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    assert validate.months_outdated(tmp_path, APP) == []
    store.upsert(APP, frame(review("1", review_date="2026-03-05", scraped_at="2026-04-02")))
    assert validate.months_outdated(tmp_path, APP) == ["2026-01", "2026-03"]
    validate.validate_months(tmp_path, APP, ["2026-03"])
    assert validate.months_outdated(tmp_path, APP) == ["2026-01"]
    validate.validate_months(tmp_path, APP, ["2026-01"])
    assert validate.months_outdated(tmp_path, APP) == []


def test_a_changed_rule_makes_every_month_outdated(store, tmp_path, monkeypatch):
    validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    monkeypatch.setattr(validate, "_rules_digest", lambda: "others")
    assert validate.months_outdated(tmp_path, APP) == ["2026-01", "2026-03"]


def test_a_month_without_its_record_or_its_raw_file_is_outdated(store, tmp_path):
    validate.validate_months(tmp_path, APP, ["2026-01", "2026-03"])
    (tmp_path / "validated" / APP / ".validation" / "2026-01.json").unlink()
    store.path(APP, "2026-03").unlink()
    assert validate.months_outdated(tmp_path, APP) == ["2026-01", "2026-03"]


def test_months_judged_one_by_one_and_out_of_order_give_the_same_files(store, tmp_path, monkeypatch):
    def backwards(work, pieces):
        assert len(pieces) == 3
        return reversed([work(piece) for piece in reversed(pieces)])

    store.upsert("com.other", frame(review("1", app_id="com.other"), review("2", app_id="com.other", rating=9)))
    months = {APP: ["2026-01", "2026-03"], "com.other": ["2026-01"]}
    together = validate.validate_apps(tmp_path, months)
    files = {path: path.read_bytes() for path in sorted(tmp_path.glob("[qv]*/**/20*"))}
    assert len(files) == 8
    for path in files:
        path.unlink()
    monkeypatch.setattr(validate, "_MOST_BYTES", 1)
    assert validate.validate_apps(tmp_path, months, backwards) == together
    assert {path: path.read_bytes() for path in files} == files
    monkeypatch.setattr(validate, "sha256", lambda path: pytest.fail(f"{path} is hashed again"))
    assert all(month.unchanged for month in validate.validate_apps(tmp_path, months))
