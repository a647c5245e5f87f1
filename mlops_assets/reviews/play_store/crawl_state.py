"""What a crawl of one app must remember: which time span is whole, the crawl that is open, deletions held back.

    <app_id>/crawl.json           written whole or not at all
    <app_id>/crawl.pages.jsonl    the open crawl, one page per line, appended and synced: the page and the token of the
                                  next one become durable in one write, and a line torn by a kill is dropped

No author's name is in either file.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.play_store.feed import Cookies, FeedReview

FORMAT = 1


class BrokenCrawlState(PermanentFailure):
    """crawl.json is not what the collector wrote."""


@dataclass
class Whole:
    """Everything the feed showed from `since_s` (0: from its end) to `newest_s` is stored.

    newest_ids: digests of the reviews of the second `newest_s`, since another one may come within it
    """

    since_s: int
    newest_s: int
    newest_ids: list[int]
    ended_at: str


@dataclass
class Open:
    """A crawl that has not ended.

    floor_s: how far back it has to read where `mark_s` is None
    mark_s: the newest second of known ground, where it only has to reach that; mark_ids: digests of its reviews
    low_s: the oldest second that the crawl has read without a gap, known once its first segment ended
    segment: an interrupted crawl goes on with its token, then reads what came on top meanwhile: one more segment
    flushed: pages of the journal that are in the months
    stuck: runs in a row that could not get the next page
    """

    started_at: str
    floor_s: int
    mark_s: int | None
    mark_ids: list[int] = field(default_factory=list)
    low_s: int | None = None
    segment: int = 0
    flushed: int = 0
    stuck: int = 0


@dataclass
class Held:
    """Vanished reviews that are too many to be believed.

    review_ids: their digests
    since_s: what has to be read again to see whether the store only failed to show them
    checked: it was read again, and they were still gone
    """

    review_ids: list[int]
    reason: str
    since_s: int
    checked: bool = False


@dataclass
class CrawlState:
    """The content of crawl.json."""

    language: str
    other_languages: list[str] = field(default_factory=list)
    whole: Whole | None = None
    open: Open | None = None
    held: Held | None = None
    last: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def load(cls, folder: Path, language: str) -> Self:
        """The state of an app for a feed in `language`; another language is another feed and starts anew."""
        path = folder / "crawl.json"
        if not path.exists():
            return cls(language)
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if raw["format"] != FORMAT:
                raise BrokenCrawlState(f"{path} has format {raw['format']}, this version reads {FORMAT}: delete it")
            state = cls(
                **{
                    **raw,
                    "whole": Whole(**raw["whole"]) if raw["whole"] else None,
                    "open": Open(**raw["open"]) if raw["open"] else None,
                    "held": Held(**raw["held"]) if raw["held"] else None,
                }
            )
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenCrawlState(
                f"{path} cannot be read ({type(error).__name__}): delete it, the next run reads its months again"
            ) from error
        if state.language == language:
            return state
        return cls(language, other_languages=sorted({*state.other_languages, state.language} - {language}))

    def save(self, folder: Path) -> None:
        """Replace crawl.json."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "crawl.json"
        scratch = path.with_name("crawl.json.partial")
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)


@dataclass(frozen=True)
class JournalPage:
    """A stored page: what was on it, when it was fetched, and how to go on.

    known: reviews on known ground in this segment so far; end: why the segment ended with this page, if it did;
    low_s: the oldest second that the segment has read without a gap, where it ended
    """

    segment: int
    reviews: Sequence[FeedReview]
    scraped_at: datetime
    token: str | None
    cookies: Cookies
    known: int
    end: str | None = None
    low_s: int | None = None


class Journal:
    """The pages of the open crawl, in order."""

    NAME = "crawl.pages.jsonl"

    def __init__(self, folder: Path) -> None:
        self._path = folder / self.NAME

    def append(self, page: JournalPage) -> None:
        """Make a page durable."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(page))
            file.flush()
            os.fsync(file.fileno())

    def pages(self) -> Iterator[JournalPage]:
        """Every whole page; a torn last line is cut off."""
        if not self._path.exists():
            return
        good = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                good += len(line)
                raw = json.loads(line)
                yield JournalPage(
                    **{
                        **raw,
                        "reviews": [FeedReview(*review) for review in raw["reviews"]],
                        "scraped_at": datetime.fromisoformat(raw["scraped_at"]),
                    }
                )
        if good < self._path.stat().st_size:
            os.truncate(self._path, good)

    def erase(self, review_ids: Collection[str], author: str | None) -> int:
        """Take reviews out of every page, by id or author; how many."""
        scratch = self._path.with_name(f"{self.NAME}.partial")
        taken = 0
        with scratch.open("w", encoding="utf-8") as file:
            for page in self.pages():
                kept = [
                    review
                    for review in page.reviews
                    if review.review_id not in review_ids and (author is None or review.author != author)
                ]
                taken += len(page.reviews) - len(kept)
                file.write(_line(replace(page, reviews=kept)))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._path)
        return taken

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


def _line(page: JournalPage) -> str:
    # vars() and not asdict(), which would copy every review.
    return json.dumps({**vars(page), "scraped_at": page.scraped_at.isoformat()}) + "\n"


class SeenIds:
    """Which reviews a crawl has seen, in eight bytes each."""

    _RECENT = 20_000

    def __init__(self) -> None:
        self._old = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __contains__(self, review_id: str) -> bool:
        digest = id_digest(review_id)
        if digest in self._recent:
            return True
        at = int(np.searchsorted(self._old, np.uint64(digest)))
        return at < len(self._old) and int(self._old[at]) == digest

    def add(self, review_id: str) -> None:
        self._recent.add(id_digest(review_id))
        if len(self._recent) >= self._RECENT:
            self._old = np.union1d(self._old, np.fromiter(self._recent, np.uint64, len(self._recent)))
            self._recent.clear()


def id_digest(review_id: str) -> int:
    """Eight bytes in place of an id, so that a state file holds nothing of a review that is erased."""
    return int.from_bytes(hashlib.blake2b(review_id.encode(), digest_size=8).digest(), "big")
