"""What a store's newest-first feed of reviews looks like to the collector: pages, and the ways to not get one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from mlops_assets.failures import PermanentFailure, TransientFailure


class FeedReview(NamedTuple):
    """A review as the feed shows it, without the author's name; times in seconds since 1970, UTC."""

    review_id: str
    text: str | None
    rating: int | None
    thumbs_up: int | None
    app_version: str | None
    at_s: int
    reply_text: str | None
    replied_at_s: int | None
    author: str | None


@dataclass(frozen=True)
class Page:
    """One answer of the feed; `token` asks for the next one, None says that there is none."""

    reviews: Sequence[FeedReview]
    token: str | None


Cookies = Sequence[Mapping[str, str]]


class Feed(Protocol):
    """One crawl's view of the feed: its pages belong together (the store pins tokens to a backend by cookie)."""

    @property
    def requests(self) -> int:
        """Requests sent so far, repeated ones included."""
        ...

    def fetch(self, app_id: str, token: str | None) -> Page:
        """The page behind `token` (None: the newest); raises one of the failures below, never a short answer."""
        ...

    def cookies(self) -> Cookies:
        """What a later feed needs to go on with this one's tokens."""
        ...

    def close(self) -> None: ...


class OpensFeeds(Protocol):
    """The store as the collector needs it."""

    def open(self, cookies: Cookies = ()) -> Feed:
        """A feed for one crawl; with `cookies` of an earlier one, its tokens stay valid."""
        ...


class PageMissing(TransientFailure):
    """A page could not be had within the budget; what lies behind it is unknown."""


class Throttled(PageMissing):
    """The store asks for fewer requests and did not relent within the budget."""


class TokenRefused(PageMissing):
    """The store does not take this token: the crawl must start again from the newest review."""


class UnknownApp(PermanentFailure):
    """The store does not know the app."""

    @classmethod
    def named(cls, app_id: str) -> Self:
        return cls(f"Google Play does not know {app_id}: correct or remove its line under apps in params.yaml")


class StoreRefused(PermanentFailure):
    """The store rejects the request itself; repeating it would not help."""
