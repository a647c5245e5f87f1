"""A Google Play in memory: apps with reviews that come, change and vanish, and faults at any request.

`MemoryPlayStore` hands its pages to the collector directly; `play_wire.py` serves the same store over HTTP.
"""

import base64
import bisect
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from mlops_assets.reviews.play_store.feed import (
    Cookies,
    Page,
    PageMissing,
    StoreRefused,
    Throttled,
    TokenRefused,
    UnknownApp,
)
from mlops_assets.reviews.play_store.reply import UnreadableReply, read_page

Kind = Literal[
    "429", "500", "503", "403", "400", "hang", "cut", "cut early", "gateway", "data", "consent", "consent redirect",
    "loop", "repeat", "lies end", "empty",
]  # fmt: skip

PAGE_FAULTS = {"loop", "repeat", "lies end", "empty"}
"""Faults that look like a healthy answer."""

AVATAR = "https://play-lh.example/avatar/"


@dataclass(frozen=True)
class FakeReview:
    review_id: str
    name: str
    text: str | None
    stars: int
    at_s: int
    thumbs: int = 0
    version: str | None = "1.0.0"
    reply: str | None = None
    replied_at_s: int | None = None

    def raw(self) -> list[Any]:
        """The nested list in which the store sends a review."""
        reply = [None, self.reply, [self.replied_at_s, 0]] if self.reply is not None else None
        avatar = f"{AVATAR}{self.name}.png"
        return [
            self.review_id, [self.name, [None, 2, None, [None, None, avatar]]], self.stars, None, self.text,
            [self.at_s, 123_000_000], self.thumbs, reply, None, None, self.version, None, None,
        ]  # fmt: skip


def reviews(count: int, newest: datetime, prefix: str, apart: timedelta) -> list[FakeReview]:
    """So many from `newest` back, `apart` from each other; a third of them bad."""
    return [
        FakeReview(
            review_id=f"{prefix}{n}",
            name=f"Orang {prefix}{n}",
            text=f"{'bagus sekali, mudah' if n % 3 else 'lambat dan sering eror'} {prefix}{n}",
            stars=5 if n % 3 else 1,
            at_s=int((newest - n * apart).timestamp()),
        )
        for n in range(count)
    ]


@dataclass
class Fault:
    """What goes wrong from request number `at` (the first is 1; of `app_id` where given) on, `times` requests long."""

    kind: Kind
    at: int = 1
    times: int = 1
    app_id: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True)
class Request:
    """One request for a page, as the store saw it."""

    app_id: str
    token: str | None
    cookie: str | None
    fault: Kind | None = None


@dataclass
class FakePlayStore:
    """The store's side: what it holds, how it pages, what it was asked."""

    page_size: int | Callable[[int], int] = 199
    apps: dict[str, dict[str, FakeReview]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    pinned: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)
    _orders: dict[str, Any] = field(default_factory=dict)
    _leading_to: dict[str, str] = field(default_factory=dict)
    _backends: Any = field(default_factory=lambda: itertools.count(1))

    def add(self, app_id: str, reviews: Sequence[FakeReview] = ()) -> None:
        """New reviews, or new versions of known ones."""
        with self.lock:
            self._orders.pop(app_id, None)
            self.apps.setdefault(app_id, {}).update({review.review_id: review for review in reviews})

    def edit(self, app_id: str, review_id: str, **changes: Any) -> FakeReview:
        with self.lock:
            review = replace(self.apps[app_id][review_id], **changes)
            self._orders.pop(app_id, None)
            self.apps[app_id][review_id] = review
        return review

    def delete(self, app_id: str, review_id: str) -> None:
        with self.lock:
            self._orders.pop(app_id, None)
            del self.apps[app_id][review_id]

    def names(self) -> set[str]:
        """Every display name that the store shows."""
        return {review.name for reviews in self.apps.values() for review in reviews.values()}

    def tokens(self, app_id: str) -> list[str | None]:
        """The tokens of the page requests for an app, in order."""
        return [request.token for request in self.requests if request.app_id == app_id]

    def new_backend(self) -> str:
        return f"b{next(self._backends)}"

    def arrive(self, app_id: str, token: str | None, cookie: str | None) -> Fault | None:
        """Write the request down; the fault that hits it."""
        with self.lock:
            number = len(self.requests) + 1
            of_app = 1 + sum(request.app_id == app_id for request in self.requests)
            hit = None
            for fault in self.faults:
                at = of_app if fault.app_id else number
                if fault.app_id in (None, app_id) and fault.at <= at and fault.times > 0:
                    fault.times -= 1
                    hit = fault
                    break
            self.requests.append(Request(app_id, token, cookie, hit.kind if hit else None))
            return hit

    def page(self, app_id: str, token: str | None, backend: str) -> tuple[list[list[Any]], str | None] | None:
        """The raw reviews behind a token and the next token; None where this backend does not know the token."""
        with self.lock:
            reviews, keys = self._newest_first(app_id)
            number = start = 0
            if token is not None:
                pin, number, at_s, last = json.loads(base64.urlsafe_b64decode(token))
                if self.pinned and pin != backend:
                    return None
                start = bisect.bisect_right(keys, (-at_s, last))
            size = self.page_size(number) if callable(self.page_size) else self.page_size
            shown = reviews[start : start + size]
            following = None
            if start + size < len(reviews):
                place = [backend, number + 1, shown[-1].at_s, shown[-1].review_id]
                following = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            return [review.raw() for review in shown], following

    def _newest_first(self, app_id: str) -> tuple[list[FakeReview], list[tuple[int, str]]]:
        """The feed's order, kept until a review comes, changes or goes."""
        now = self.apps[app_id]
        kept = self._orders.get(app_id)
        if kept is None or kept[0] is not now:
            reviews = sorted(now.values(), key=lambda review: (-review.at_s, review.review_id))
            kept = (now, reviews, [(-review.at_s, review.review_id) for review in reviews])
            self._orders[app_id] = kept
        return kept[1], kept[2]

    def answer(self, app_id: str, token: str | None, backend: str, kind: Kind | None = None) -> str | None:
        """The body for a request, changed as a fault of `PAGE_FAULTS` says; None for a token of another backend."""
        if kind == "repeat" and token in self._leading_to:
            return self._leading_to[token]
        found = self.page(app_id, token, backend)
        if found is None:
            return None
        reviews, following = found
        if kind == "loop":
            following = token or following
        if kind == "lies end":
            following = None
        reply = self.reply([] if kind == "empty" and following else reviews, following)
        if following and kind is None:
            self._leading_to[following] = reply
        return reply

    def reply(self, reviews: list[list[Any]], token: str | None) -> str:
        """The body of an answer."""
        inner = [reviews, [None, token], None] if token else ([reviews] if reviews else [])
        return envelope(json.dumps(inner, ensure_ascii=False))


def envelope(data: str | None, status: list[Any] | None = None) -> str:
    rows = [["wrb.fr", "oCPfdb", data, None, None, status, "generic"], ["di", 42], ["af.httprm", 42, "-1", 7]]
    return ")]}'\n\n" + json.dumps(rows, ensure_ascii=False)


def error_reply(kind: str) -> str:
    """An error inside HTTP 200."""
    name = {"gateway": "gateway.proto.PlayGatewayError", "data": "error.PlayDataError"}[kind]
    return envelope(None, [13, None, [[f"type.googleapis.com/com.google.play.{name}", [1]]]])


class MemoryPlayStore:
    """`FakePlayStore` as the collector sees it, without HTTP; a fault is retried `retries` times."""

    def __init__(self, fake: FakePlayStore, *, author_key: str | None = None, retries: int = 2) -> None:
        self.fake, self.author_key, self.retries = fake, author_key, retries

    def open(self, cookies: Cookies = ()) -> "MemoryFeed":
        return MemoryFeed(self, cookies)


class MemoryFeed:
    def __init__(self, store: MemoryPlayStore, cookies: Cookies) -> None:
        self._store = store
        self._backend = next((c["value"] for c in cookies if c["name"] == "BACKEND"), None)
        self.requests = 0

    def cookies(self) -> Cookies:
        return [{"name": "BACKEND", "value": self._backend, "domain": "", "path": "/"}] if self._backend else []

    def close(self) -> None:
        pass

    def fetch(self, app_id: str, token: str | None) -> Page:
        kind = self._arrive(app_id, token)
        if app_id not in self._store.fake.apps:
            raise UnknownApp.named(app_id)
        reply = self._store.fake.answer(app_id, token, self._backend or "", kind)
        if reply is None:
            raise TokenRefused("fake")
        try:
            return read_page(reply, self._store.author_key)
        except UnreadableReply as error:
            raise PageMissing(str(error)) from None

    def _arrive(self, app_id: str, token: str | None) -> Kind | None:
        """Send the request until no fault hides the page; the fault that only changes it."""
        fault = None
        for _ in range(self._store.retries + 1):
            self.requests += 1
            fault = self._store.fake.arrive(app_id, token, self._backend)
            self._backend = self._backend or self._store.fake.new_backend()
            if fault is None or fault.kind in PAGE_FAULTS:
                return fault.kind if fault else None
            if fault.kind == "400":
                raise TokenRefused("fake") if token else StoreRefused("fake")
        kind = fault.kind if fault else "nothing"
        raise (Throttled if kind in ("429", "gateway", "data") else PageMissing)(f"{app_id}: {kind}")
