"""What breaks each check: a violation changes the data of a clone before its run."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.drift import recent
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from tests.integration.checks.checked_clone import (
    APP,
    NOW,
    AppStatus,
    CheckedClone,
    train_on,
    validated,
)
from tests.user_clone import write_params


def no_usable_review(clone: CheckedClone) -> None:
    clone.change_raw(lambda rows: rows.assign(deleted_at=pd.Timestamp(NOW)))


def no_column_of_stars(clone: CheckedClone) -> None:
    clone.change_validated(lambda rows: rows.drop(columns="rating"))


def a_few_without_stars(clone: CheckedClone) -> None:
    clone.change_validated(lambda rows: rows.assign(rating=rows["rating"].where(rows.index > 3)))


def everyone_is_happy(clone: CheckedClone) -> None:
    clone.change_raw(lambda rows: rows.assign(rating=5))


def the_new_ones_are_unhappy(clone: CheckedClone) -> None:
    arrive(clone, "2026-03-31T01:00Z", unhappy=True)


def arrive(clone: CheckedClone, first: str, *, unhappy: bool, count: int = 250) -> None:
    """Reviews after all others: texts that the store has, each with its own stars."""
    rows = validated(clone).drop_duplicates("review_text")
    chosen = rows[(rows["rating"] < 3) | (not unhappy)].sample(count, random_state=2)
    dates = pd.date_range(first, periods=count, freq="5min")
    new = chosen.assign(review_id=chosen["review_id"] + first, review_date=dates, scraped_at=pd.Timestamp(NOW))
    ReviewStore(clone.root / "data" / "raw").upsert(APP, columns.conform(new))


def one_in_ten_is_unusable(clone: CheckedClone) -> None:
    clone.change_raw(lambda rows: rows.assign(rating=rows["rating"].where(rows.index % 10 > 0, 0)))


def rows_vanish(clone: CheckedClone) -> None:
    clone.change_raw(lambda rows: rows.iloc[5:])


def all_write_the_same(clone: CheckedClone) -> None:
    def same(rows: pd.DataFrame) -> pd.DataFrame:
        says = rows["rating"].map(lambda stars: "bagus sekali" if stars > 3 else "jelek sekali")
        return rows.assign(review_text=rows["review_text"].where(rows.index % 10 > 7, says))

    clone.change_raw(same)


def one_in_five_writes_thai(clone: CheckedClone) -> None:
    rng = np.random.default_rng(1)
    letters = [chr(code) for code in range(0x0E01, 0x0E2F)]

    def thai(rows: pd.DataFrame) -> pd.DataFrame:
        words = ["".join(rng.choice(letters, 12)) for _ in range(len(rows))]
        said = [f"{'ดี' if stars > 3 else 'แย่'} {word}" for stars, word in zip(rows["rating"], words, strict=True)]
        return rows.assign(review_text=rows["review_text"].where(rows.index % 5 > 0, said))

    clone.change_raw(thai)


def stars_are_turned_round(clone: CheckedClone) -> None:
    clone.change_raw(lambda rows: rows.assign(rating=rows["rating"].where(rows.index % 9 > 3, 6 - rows["rating"])))


def a_file_with_names(clone: CheckedClone) -> None:
    text = "app_id,userName,review_text,rating,review_date\n" + "".join(
        f"{APP},Budi {n},bagus nomor {n},{1 + n % 5},2026-02-{1 + n % 28:02d}\n" for n in range(5)
    )
    _import(clone, "named.csv", text)


def a_file_of_something_else(clone: CheckedClone) -> None:
    _import(clone, "prices.csv", "item,price\nrice,12000\n")


def _import(clone: CheckedClone, name: str, text: str) -> None:
    folder = clone.root / "data" / "imports"
    folder.mkdir(parents=True)
    (folder / name).write_text(text, encoding="utf-8")


def the_newest_are_angry(clone: CheckedClone) -> None:
    frame = validated(clone)
    train_on(clone, frame)
    newest = set(recent(frame, DriftOptions())["review_id"])
    # Each text as seldom as can be, or many would be one template.
    angry = itertools.cycle(frame.loc[frame["rating"] < 3, "review_text"].unique())

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        new = rows["review_id"].isin(newest)
        texts = pd.Series([next(angry) if one else "" for one in new], index=rows.index)
        return rows.assign(rating=rows["rating"].where(~new, 1), review_text=rows["review_text"].where(~new, texts))

    clone.change_raw(change)


def sixty_complain_on_the_last_day(clone: CheckedClone) -> None:
    clone.environment["NOW"] = "2026-04-02T00:00:00Z"
    arrive(clone, "2026-03-31T01:00Z", unhappy=True, count=60)


def another_type_upstream(clone: CheckedClone) -> None:
    path = min((clone.root / "data" / "raw" / APP).glob("*.parquet"))
    columns.read_frame(path).assign(rating=lambda rows: rows["rating"].astype("str")).to_parquet(path)


def a_torn_feed(clone: CheckedClone) -> None:
    clone.source.apps_shown = (AppStatus(APP, "partial", "the feed ended at page 3"),)


def an_app_that_left_the_store(clone: CheckedClone) -> None:
    clone.source.apps_shown = (AppStatus(APP), AppStatus("com.left.store", "unknown", "the store does not know it"))


def a_reference_that_was_never_collected(clone: CheckedClone) -> None:
    write_params(clone.root, reference_apps=["com.gojek.app"])


MUTATIONS: dict[str, Callable[[CheckedClone], None]] = {
    "reviews_are_not_empty": no_usable_review,
    "required_columns_exist": no_column_of_stars,
    "required_values_are_present": a_few_without_stars,
    "positive_share_is_normal": everyone_is_happy,
    "positive_share_is_steady": the_new_ones_are_unhappy,
    "quarantine_is_small": one_in_ten_is_unusable,
    "no_review_is_lost": rows_vanish,
    "texts_are_varied": all_write_the_same,
    "languages_are_known": one_in_five_writes_thai,
    "stars_match_texts": stars_are_turned_round,
    "imports_hold_no_names": a_file_with_names,
    "imports_are_understood": a_file_of_something_else,
    "data_has_not_drifted": the_newest_are_angry,
    "negative_reviews_are_as_usual": sixty_complain_on_the_last_day,
    "stored_reviews_keep_their_schema": another_type_upstream,
    "collection_is_complete": a_torn_feed,
    "apps_are_known": an_app_that_left_the_store,
    "reference_apps_are_complete": a_reference_that_was_never_collected,
}

BLOCKS = {
    "reviews_are_not_empty",
    "required_columns_exist",
    "required_values_are_present",
    "positive_share_is_normal",
    "positive_share_is_steady",
    "quarantine_is_small",
    "no_review_is_lost",
    "stored_reviews_keep_their_schema",
    "collection_is_complete",
}

OF_VALIDATED = set(MUTATIONS) - {
    "stored_reviews_keep_their_schema",
    "collection_is_complete",
    "apps_are_known",
    "reference_apps_are_complete",
}
