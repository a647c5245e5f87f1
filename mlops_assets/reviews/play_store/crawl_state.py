"""What the crawls of one app must remember on disk: the covered time span, the open crawl, deletions held back.

    <app_id>/crawl.json           replaced whole
    <app_id>/crawl.pages.jsonl    the open crawl, one page per line, appended and synced: a page and the token of the
                                  next one become durable in one write, and a line torn by a kill is dropped

No author's name is in either file.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, replacing
from mlops_assets.reviews.play_store.feed import Cookies, FeedReview

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
SOURCE = "play_store"
_LATER = ("most", "cut")
"""Fields that came later: written only where they say something, so that an earlier version reads the others."""


class BrokenCrawlState(PermanentFailure):
    """crawl.json is not what the collector wrote."""


@dataclass
class CoveredSpan:
    """Everything the feed showed from `since_s` (0: from its end) to `newest_s` is stored.

    newest_ids: digests of the reviews of the second `newest_s`, because another one may follow within it
    most: how many of the newest reviews the crawl was to read, if it ended because of that
    """

    since_s: int
    newest_s: int
    newest_ids: list[int]
    ended_at: str
    most: int | None = None


@dataclass
class OpenCrawl:
    """A crawl that has not ended.

    floor_s: how far back it has to read if `mark_s` is None
    mark_s: the newest second that was covered before, if reading down to it is enough; mark_ids: digests of its reviews
    low_s: the oldest second that the crawl has read without a gap, known once its first segment ended
    segment: an interrupted crawl goes on with its token, then reads what was posted meanwhile as one more segment
    flushed: pages of the journal that are in the months
    stuck: runs in a row that could not get the next page
    cut: it ended a segment because it had read as many reviews as it may
    """

    started_at: str
    floor_s: int
    mark_s: int | None
    mark_ids: list[int] = field(default_factory=list)
    low_s: int | None = None
    segment: int = 0
    flushed: int = 0
    stuck: int = 0
    cut: bool = False


@dataclass
class HeldDeletions:
    """Vanished reviews, too many to be believed.

    review_ids: their digests
    since_s: how far back the feed has to be read again, to see whether the store only failed to show them
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
    whole: CoveredSpan | None = None
    open: OpenCrawl | None = None
    held: HeldDeletions | None = None
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
                    "whole": CoveredSpan(**raw["whole"]) if raw["whole"] else None,
                    "open": OpenCrawl(**raw["open"]) if raw["open"] else None,
                    "held": HeldDeletions(**raw["held"]) if raw["held"] else None,
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
        written = asdict(self, dict_factory=lambda items: {name: it for name, it in items if it or name not in _LATER})
        replace_file(folder / "crawl.json", json.dumps(written, ensure_ascii=False, indent=1))


@dataclass(frozen=True)
class JournalPage:
    """A stored page: what was on it, when it was fetched, and how to go on.

    known: reviews so far in this segment that an earlier crawl had covered
    end: why the segment ended with this page, if it did
    low_s: the oldest second that the ended segment has read without a gap
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
        taken = 0
        with replacing(self._path) as scratch, scratch.open("w", encoding="utf-8") as file:
            for page in self.pages():
                kept = [
                    review
                    for review in page.reviews
                    if review.review_id not in review_ids and (author is None or review.author != author)
                ]
                taken += len(page.reviews) - len(kept)
                file.write(_line(replace(page, reviews=kept)))
        return taken

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


def _line(page: JournalPage) -> str:
    # vars() and not asdict(), which would copy every review.
    return json.dumps({**vars(page), "scraped_at": page.scraped_at.isoformat()}) + "\n"


def rows_of(app_id: str, pages: Iterable[JournalPage]) -> "pd.DataFrame":
    """The pages' reviews as stored rows; columns that the feed does not show stay empty."""
    import pyarrow as pa  # loaded here: `make status` reads the state alone

    from mlops_assets.reviews.stored import columns

    rows = [
        {**review.as_row(), "app_id": app_id, "scraped_at": page.scraped_at, "source": SOURCE}
        for page in pages
        for review in page.reviews
    ]
    return columns.to_frame(pa.Table.from_pylist(rows, schema=columns.SCHEMA))
