"""Which of two versions of a review is the truth: pure, on conformed frames. Storing them is store.py's."""

import unicodedata
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import is_mask_of

FORM = ["review_text", "rating", "review_date"]
"""What the author wrote: a difference here is another version, kept in the history."""

ATTACHED = ["thumbs_up", "app_version", "reply_text", "reply_date"]
"""What others add: a difference here updates the row without a version."""

PLAY, FILES = "play_store", ("file", "import")

ZONES_APART = pd.Timedelta(hours=14)
"""The time zones reach from 12 hours behind UTC to 14 ahead. A scraper may have written the local time of its machine,
so two dates of one review that are no further apart do not say which version is the newer one."""

_QUARTER_S = 900


@dataclass(frozen=True)
class Merged:
    """Rows that must be written, versions for the history, and how many reviews met which fate."""

    written: pd.DataFrame
    history: pd.DataFrame
    counts: dict[str, int]


def merge(stored: pd.DataFrame, incoming: pd.DataFrame) -> Merged:
    """Decide for every incoming review. `stored` holds at most one row per review, of any subset of them.

    A later observation wins: by `scraped_at` within a source, by `review_date` (which an edit moves) between sources,
    because a file may have been written long after it was scraped. Google Play knows its reviews best: where text and
    stars are equal, its date holds, and where they differ, a file's version must be written after Play was asked.
    """
    ordered = incoming.sort_values(["scraped_at", "review_date"], kind="stable")
    newest = ordered.drop_duplicates("review_id", keep="last").set_index("review_id")
    repeats = ordered[ordered.duplicated("review_id", keep="last")]
    before = stored.set_index("review_id")
    known = newest.index.intersection(before.index)
    new = newest.drop(known)
    now, was = newest.loc[known], before.loc[known]

    same_words = _say_the_same(now, was)
    now = _in_plays_words(now, was, same_words)
    same_date = _equal(now, was, ["review_date"])
    # A known review whose date alone differs was not edited: one of the two dates was misread.
    misread = _of_same_files(now, was) & (_zones_apart(now, was) | _never_said_when_seen(was))
    corrected = same_words & ~same_date & (_of_play(now, was) | misread)
    same_form = (same_words & same_date) | corrected
    outdated = ~same_form & _earlier(now, was)
    stale = same_form & ~corrected & _seen_before(now, was)
    after = _attach(now, was, same_form=same_form, stale=stale)
    compared = [name for name in columns.COLUMNS if name not in ("review_id", "app_id", "scraped_at")]
    changed = ~_equal(after, was, compared) & ~outdated
    edited = changed & ~same_form
    moved = changed & (columns.month_of(now["review_date"]) != columns.month_of(was["review_date"])).to_numpy()

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


def with_masks_of(before: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """`before` with the replies of `again` where that is the same version of the same review with a name masked;
    `before` itself where there is no such row.
    """
    key = ["review_id", *FORM]
    both = before.reset_index().merge(again[[*key, "reply_text"]], on=key, suffixes=("", "_again"))
    both = both.dropna(subset=["reply_text", "reply_text_again"])
    masked = {
        row: reply
        for row, old, reply in zip(both["index"], both["reply_text"], both["reply_text_again"], strict=True)
        if is_mask_of(reply, old) and reply != old
    }
    if not masked:
        return before
    return before.assign(reply_text=before["reply_text"].where(~before.index.isin(masked), before.index.map(masked)))


def _attach(now: pd.DataFrame, was: pd.DataFrame, *, same_form: np.ndarray, stale: np.ndarray) -> pd.DataFrame:
    """The incoming rows with what the stored ones know beyond them."""
    after = now.copy()
    other_source = (now["source"] != was["source"]).to_numpy()
    for name in ATTACHED:
        # Another source may simply lack the column; the same source's null is news.
        # A file without a date of scraping counts as seen when it is read, however old it is.
        plays = _of_play(was, now) & was[name].notna().to_numpy()
        keep = same_form & (stale | plays | (other_source & now[name].isna().to_numpy()))
        after[name] = now[name].where(~keep, was[name])
    after["reply_text"] = _masked_replies(after["reply_text"], now, was, same_form)
    after["author"] = now["author"].fillna(was["author"])
    after["scraped_at"] = now["scraped_at"].where(~stale, was["scraped_at"])
    # A file adds to what was collected; it does not take reviews over from the collecting source.
    adds = (now["source"] == "import").to_numpy() | _of_play(was, now)
    after["source"] = now["source"].where(~(same_form & adds), was["source"])
    seen_before_deletion = was["deleted_at"].notna() & (now["scraped_at"] <= was["deleted_at"])
    after["deleted_at"] = now["deleted_at"].where(~seen_before_deletion, was["deleted_at"])
    return after


def _masked_replies(chosen: pd.Series, now: pd.DataFrame, was: pd.DataFrame, same_form: np.ndarray) -> pd.Series:
    """The chosen replies; of two that differ in the mask over a name alone the masked one, however old it is."""
    replies = pd.DataFrame({"now": now["reply_text"], "was": was["reply_text"], "source": now["source"]})
    differ = (replies["now"] != replies["was"]) & replies["now"].notna() & replies["was"].notna()
    masked = chosen.copy()
    for review_id, reply, before, source in replies[same_form & differ].itertuples():
        if is_mask_of(reply, before):
            masked[review_id] = reply
        # Play's own replies are masked before they come here, so a name is no reason to doubt a new one.
        elif source in FILES and is_mask_of(before, reply):
            masked[review_id] = before
    return masked


def _of_play(one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """Where `one` came from Play and `other` from a file."""
    return ((one["source"] == PLAY) & other["source"].isin(FILES)).to_numpy()


def _of_same_files(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    """Where both came from files named in one way: a file replaces its own earlier reading."""
    return (was["source"].isin(FILES) & (now["source"] == was["source"])).to_numpy()


def _zones_apart(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    apart_s = (now["review_date"] - was["review_date"]).dt.total_seconds().abs()
    return ((apart_s <= 2 * ZONES_APART.total_seconds()) & (apart_s % _QUARTER_S == 0)).to_numpy()


def _never_said_when_seen(was: pd.DataFrame) -> np.ndarray:
    """Where a file did not say when it was scraped, so that the date itself stands for that."""
    return (was["scraped_at"] == was[["review_date", "reply_date"]].max(axis=1)).to_numpy()


def _say_the_same(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    """Where text and rating are equal; between Play and a file spaces do not count, since spreadsheets change them."""
    same = _equal(now, was, ["review_text", "rating"])
    doubtful = ~same & (_of_play(now, was) | _of_play(was, now)) & _equal(now, was, ["rating"])
    if doubtful.any():
        same[doubtful] = _unspaced(now[doubtful]) == _unspaced(was[doubtful])
    return same


def _unspaced(rows: pd.DataFrame) -> np.ndarray:
    texts = rows["review_text"].fillna("").map(lambda text: "".join(unicodedata.normalize("NFC", str(text)).split()))
    return texts.to_numpy(dtype=object)


def _in_plays_words(now: pd.DataFrame, was: pd.DataFrame, same_words: np.ndarray) -> pd.DataFrame:
    """The incoming rows; those of a file that say what Play's stored row says have its text and its date."""
    held = same_words & _of_play(was, now)
    return now.assign(**{name: now[name].where(~held, was[name]) for name in FORM})


def _seen_before(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    """Where the stored row was seen later. A file's clock may be ahead by as much as the zones are apart."""
    slack = pd.Series(pd.Timedelta(0), index=was.index)
    slack[_of_play(was, now)] = ZONES_APART
    slack[_of_play(now, was)] = -ZONES_APART
    return (now["scraped_at"] < was["scraped_at"] + slack).to_numpy()


def _earlier(now: pd.DataFrame, was: pd.DataFrame) -> np.ndarray:
    """Where the incoming row is the older version of an edited review."""
    same_source = (now["source"] == was["source"]).to_numpy()
    scraped = (now["scraped_at"] < was["scraped_at"]).to_numpy()
    same_scrape = (now["scraped_at"] == was["scraped_at"]).to_numpy()
    written = (now["review_date"] < was["review_date"]).to_numpy()
    same_date = (now["review_date"] == was["review_date"]).to_numpy()
    by_date = written | (same_date & scraped)
    # Play shows a review as it is. So a file knows better only if its version was written after Play was asked.
    before_play = now["review_date"] <= was[["review_date", "scraped_at"]].max(axis=1)
    before_play |= now["review_date"] <= was["review_date"] + ZONES_APART
    by_date = np.where(_of_play(was, now), before_play.to_numpy(), by_date)
    after_play = now["scraped_at"] < was["review_date"] - ZONES_APART
    by_date = np.where(_of_play(now, was), after_play.to_numpy(), by_date)
    return np.where(same_source, scraped | (same_scrape & written), by_date)


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
