"""Which of two versions of a review is the truth: pure, on conformed frames. Storing them is store.py's."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from mlops_assets.reviews import columns

FORM = ["review_text", "rating", "review_date"]
"""What the author wrote: a difference here is another version, kept in the history."""

ATTACHED = ["thumbs_up", "app_version", "reply_text", "reply_date"]
"""What others add: a difference here updates the row without a version."""


@dataclass(frozen=True)
class Merged:
    """Rows that must be written, versions for the history, and how many reviews met which fate."""

    written: pd.DataFrame
    history: pd.DataFrame
    counts: dict[str, int]


def merge(stored: pd.DataFrame, incoming: pd.DataFrame) -> Merged:
    """Decide for every incoming review. `stored` holds at most one row per review, of any subset of them.

    A later observation wins: by `scraped_at` within a source, by `review_date` (which an edit moves) between sources,
    because a file may have been written long after it was scraped.
    """
    ordered = incoming.sort_values(["scraped_at", "review_date"], kind="stable")
    newest = ordered.drop_duplicates("review_id", keep="last").set_index("review_id")
    repeats = ordered[ordered.duplicated("review_id", keep="last")]
    before = stored.set_index("review_id")
    known = newest.index.intersection(before.index)
    new = newest.drop(known)
    now, was = newest.loc[known], before.loc[known]

    same_form = _equal(now, was, FORM)
    outdated = ~same_form & _earlier(now, was)
    stale = same_form & (now["scraped_at"] < was["scraped_at"]).to_numpy()
    after = _attach(now, was, same_form=same_form, stale=stale)
    compared = [name for name in columns.COLUMNS if name not in ("review_id", "app_id", "scraped_at")]
    changed = ~_equal(after, was, compared) & ~outdated
    edited = changed & ~same_form
    moved = edited & (columns.month_of(now["review_date"]) != columns.month_of(was["review_date"])).to_numpy()

    written = columns.conform(pd.concat([new, after[changed]]).reset_index())
    older = [was[edited].reset_index(), now[outdated].reset_index(), _other_forms(repeats, newest)]
    return Merged(
        written=written,
        history=columns.conform(pd.concat(older)),
        counts={
            "new": len(new),
            "edited": int(edited.sum()),
            "updated": int((changed & same_form).sum()),
            "moved": int(moved.sum()),
            "unchanged": int((~changed & ~outdated).sum()),
            "outdated": int(outdated.sum()),
        },
    )


def _attach(now: pd.DataFrame, was: pd.DataFrame, *, same_form: np.ndarray, stale: np.ndarray) -> pd.DataFrame:
    """The incoming rows with what the stored ones know beyond them."""
    after = now.copy()
    other_source = (now["source"] != was["source"]).to_numpy()
    for name in ATTACHED:
        # Another source may simply lack the column; the same source's null is news.
        keep = same_form & (stale | (other_source & now[name].isna().to_numpy()))
        after[name] = now[name].where(~keep, was[name])
    after["author"] = now["author"].fillna(was["author"])
    after["scraped_at"] = now["scraped_at"].where(~stale, was["scraped_at"])
    # An import adds to what was collected; it does not take reviews over from the collecting source.
    after["source"] = now["source"].where(~(same_form & (now["source"] == "import").to_numpy()), was["source"])
    seen_before_deletion = was["deleted_at"].notna() & (now["scraped_at"] <= was["deleted_at"])
    after["deleted_at"] = now["deleted_at"].where(~seen_before_deletion, was["deleted_at"])
    return after


def _earlier(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    same_source = (now["source"] == was["source"]).to_numpy()
    scraped = (now["scraped_at"] < was["scraped_at"]).to_numpy()
    same_scrape = (now["scraped_at"] == was["scraped_at"]).to_numpy()
    written = (now["review_date"] < was["review_date"]).to_numpy()
    same_date = (now["review_date"] == was["review_date"]).to_numpy()
    return np.where(same_source, scraped | (same_scrape & written), written | (same_date & scraped))


def _equal(left: pd.DataFrame, right: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Row by row, null equal to null."""
    equal = np.ones(len(left), dtype=bool)
    for name in names:
        a, b = left[name], right[name]
        same = (a == b).fillna(value=False).to_numpy(dtype=bool)
        equal &= same | (a.isna() & b.isna()).to_numpy(dtype=bool)
    return equal


def _other_forms(repeats: pd.DataFrame, newest: pd.DataFrame) -> pd.DataFrame:
    """Repeats of a review within one batch that say something else than its newest row."""
    winners = newest.loc[repeats["review_id"]]
    differ = ~_equal(repeats.set_index("review_id"), winners, FORM)
    return cast("pd.DataFrame", repeats[differ])
