"""A store's feed of reviews, newest first, as the collector sees it: its pages, and the failures to get one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from mlops_assets.failures import PermanentFailure, TransientFailure


class FeedReview(NamedTuple):
    """A review as the feed shows it, without the author's name; times in seconds since 1970, UTC.

    Every other field is the stored column of that name.
    """

    review_id: str
    review_text: str | None
    rating: int | None
    thumbs_up: int | None
    app_version: str | None
    at_s: int
    reply_text: str | None
    replied_at_s: int | None
    author: str | None

    def as_row(self) -> dict[str, Any]:
        """The stored columns that the feed shows; times in microseconds."""
        row = self._asdict()
        at_s, replied_at_s = row.pop("at_s"), row.pop("replied_at_s")
        reply_date = None if replied_at_s is None else replied_at_s * 1_000_000
        return {**row, "review_date": at_s * 1_000_000, "reply_date": reply_date}


@dataclass(frozen=True)
class Page:
    """One answer of the feed; `token` asks for the next page, None means that this is the last."""

    reviews: Sequence[FeedReview]
    token: str | None


Cookies = Sequence[Mapping[str, str]]


class Feed(Protocol):
    """One crawl's connection to the feed: its tokens are tied to it (the store pins them to a backend by cookie)."""

    @property
    def requests(self) -> int:
        """Requests sent so far, repeated ones included."""
        ...

    def fetch(self, app_id: str, token: str | None) -> Page:
        """The page behind `token` (None: the newest); raises one of the failures below, never a short answer."""
        ...

    def cookies(self) -> Cookies:
        """What a later connection needs to go on with the tokens of this one."""
        ...

    def close(self) -> None: ...


class OpensFeeds(Protocol):
    """The store as the collector needs it."""

    def open(self, cookies: Cookies = ()) -> Feed:
        """A feed for one crawl; with the `cookies` of an earlier feed, the tokens of that feed stay valid."""
        ...


class PageMissing(TransientFailure):
    """A page could not be read within the budget; what is on it and after it is unknown."""


class Throttled(PageMissing):
    """The store asks for fewer requests, and did so until the budget was spent."""


class TokenRefused(PageMissing):
    """The store does not take this token: the crawl must start again from the newest review."""


class UnknownApp(PermanentFailure):
    """The store does not know the app."""

    @classmethod
    def named(cls, app_id: str) -> Self:
        return cls(f"Google Play does not know {app_id}: correct or remove its line under apps in params.yaml")


class StoreRefused(PermanentFailure):
    """The store rejects the request itself; repeating it would not help."""
