"""Google Play over HTTP: one feed per crawl; a failed request is repeated within a budget.

Not here: what a reply says (reply.py), when a crawl ends (progress.py).
"""

import email.utils
import random
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.proxies import through_proxy
from mlops_assets.reviews.play_store.feed import (
    Cookies,
    Page,
    PageMissing,
    StoreRefused,
    Throttled,
    TokenRefused,
    UnknownApp,
)
from mlops_assets.reviews.play_store.rate_limit import RateLimit
from mlops_assets.reviews.play_store.reply import UnreadableReply, library, read_page

PLAY_STORE_URL = "https://play.google.com"
_Result = TypeVar("_Result")
_CONSENT_COOKIE = ("SOCS", "CAI")  # "only what is necessary": what the consent page's reject button sets


class PlayStore:
    """The store at `url`; opens one feed per crawl."""

    def __init__(
        self,
        options: CollectOptions,
        *,
        url: str = PLAY_STORE_URL,
        limit: RateLimit | None = None,
        author_key: SecretStr | None = None,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.options, self.url = options, url.rstrip("/")
        self.limit = limit or RateLimit(options.requests_per_second)
        self.author_key = author_key.get_secret_value() if author_key else None
        self.sleep, self.jitter = sleep, jitter
        self._tls = tls

    def open(self, cookies: Cookies = ()) -> "PlayFeed":
        """A feed with a cookie jar of its own, filled with `cookies`."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return PlayFeed(self, self._tls, cookies)


class PlayFeed:
    """The connection of one crawl. Not for several threads at once."""

    def __init__(self, store: PlayStore, tls: ssl.SSLContext, cookies: Cookies) -> None:
        self._store, self._options = store, store.options
        options = self._options
        self._client = httpx.Client(
            verify=tls,
            timeout=httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
            headers={"user-agent": options.user_agent, "accept-language": options.language},
        )
        for cookie in cookies:
            self._client.cookies.set(cookie["name"], cookie["value"], domain=cookie["domain"], path=cookie["path"])
        formats = library().formats
        address = formats.Reviews.build(lang=options.language, country=options.country)
        self._reviews_url = store.url + address.removeprefix(library().base_url)
        self._formats = formats
        self.requests = 0

    def cookies(self) -> Cookies:
        return [
            {"name": c.name, "value": c.value or "", "domain": c.domain, "path": c.path}
            for c in self._client.cookies.jar
        ]

    def close(self) -> None:
        self._client.close()

    def fetch(self, app_id: str, token: str | None) -> Page:
        """The page behind `token`; an empty first page counts only for an app that has a page in the store."""
        body = self._formats.Reviews.build_body(
            app_id,
            library().newest,
            self._options.page_size,
            "null",
            "null",
            None if token is None else quote(token, safe=""),
        )

        def ask() -> Page:
            response = self._client.post(
                self._reviews_url,
                content=body,
                headers={"content-type": "application/x-www-form-urlencoded;charset=utf-8"},
            )
            if response.status_code == httpx.codes.BAD_REQUEST and token is not None:
                raise TokenRefused(f"{app_id}: the store no longer takes the page's token (HTTP 400): run again")
            self._check(app_id, response)
            page = self._page(app_id, response, token)
            if token is None and page is not None and (page.reviews or page.token):
                return page
            if token is None and not self._knows(app_id):
                raise UnknownApp.named(app_id)
            if page is None:
                raise _Fault("no data (status 5)")
            return page

        return self._persist(app_id, ask)

    def _page(self, app_id: str, response: httpx.Response, token: str | None) -> Page | None:
        """The page, or None if the store says that it found nothing."""
        if response.status_code == httpx.codes.NOT_FOUND:
            if not self._knows(app_id):
                raise UnknownApp.named(app_id)
            raise StoreRefused(
                f"{response.url.path} answers 404 while {app_id} exists: check PLAY_STORE_URL, update the library"
            )
        try:
            return read_page(response.content.decode("utf-8", "replace"), self._store.author_key)
        except UnreadableReply as reply:
            if reply.not_found and token is None:
                return None
            if (reply.refused or reply.not_found) and token is not None:
                raise TokenRefused(
                    f"{app_id}: the store no longer takes the page's token ({reply}): run again"
                ) from None
            if reply.web_page:
                self._client.cookies.set(*_CONSENT_COOKIE)
            raise _Fault(reply.kind, throttled=reply.throttled) from None

    def _knows(self, app_id: str) -> bool:
        """Whether the app has a page in the store."""
        address = self._formats.Detail.build(
            app_id=app_id, lang=self._options.language, country=self._options.country
        ).removeprefix(library().base_url)

        def ask() -> bool:
            response = self._client.get(self._store.url + address)
            self._check(app_id, response)
            return response.status_code != httpx.codes.NOT_FOUND

        return self._persist(app_id, ask)

    def _check(self, app_id: str, response: httpx.Response) -> None:
        """Raise for every status but 200 and 404."""
        status = response.status_code
        if status in (httpx.codes.OK, httpx.codes.NOT_FOUND):
            return
        if 300 <= status < 400:
            self._client.cookies.set(*_CONSENT_COOKIE)
            raise _Fault("a consent page")
        if status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.FORBIDDEN):
            raise _Fault(f"HTTP {status}", throttled=True, wait_s=_retry_after_s(response))
        if status >= 500 or status == httpx.codes.REQUEST_TIMEOUT:
            raise _Fault(f"HTTP {status}", wait_s=_retry_after_s(response))
        raise StoreRefused(
            f"{app_id}: the store rejects the request with HTTP {status}: check PLAY_STORE_URL and params.yaml"
        )

    def _persist(self, app_id: str, ask: Callable[[], _Result]) -> _Result:
        """What `ask` returns, asked again after a fault until the budget of one page is spent."""
        options, waited_s = self._options, 0.0
        for attempt in range(options.retries + 1):
            self._store.limit.wait()
            self.requests += 1
            try:
                return ask()
            except _Fault as fault:
                last = fault
            except httpx.RequestError as error:
                last = self._fault_of(error)
            pause_s = min(options.backoff_most_s, options.backoff_s * 2**attempt) * (0.5 + self._store.jitter() / 2)
            pause_s = max(pause_s, last.wait_s)
            if attempt == options.retries or waited_s + pause_s > options.give_up_after_s:
                self._give_up(app_id, last, attempt + 1, waited_s)
            if last.wait_s:
                self._store.limit.hold(last.wait_s)
            waited_s += pause_s
            self._store.sleep(pause_s)
        raise AssertionError("range() always reaches its last attempt")

    def _fault_of(self, error: httpx.RequestError) -> "_Fault":
        """What kept the request from an answer; raises `StoreRefused` if another attempt cannot succeed."""
        if isinstance(error, httpx.TimeoutException):
            return _Fault(_timeout_name(error, self._options) + through_proxy(self._store.url))
        if isinstance(_root(error), ssl.SSLCertVerificationError):
            raise StoreRefused(
                f"the certificate of {self._store.url} is not trusted: check PLAY_STORE_URL and SSL_CERT_FILE"
            ) from None
        return _Fault(f"the connection broke ({type(error).__name__}){through_proxy(self._store.url)}")

    def _give_up(self, app_id: str, fault: "_Fault", tries: int, waited_s: float) -> NoReturn:
        wait = f", which asks to wait {fault.wait_s:.0f} s" if fault.wait_s else ""
        kind = Throttled if fault.throttled else PageMissing
        raise kind(
            f"{app_id}: no page from {self._store.url} after {tries} tries and {waited_s:.0f} s, "
            f"last {fault}{wait}: run again to go on from here"
        ) from None


class _Fault(Exception):
    """One failed attempt; another may succeed."""

    def __init__(self, reason: str, *, throttled: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.throttled, self.wait_s = throttled, wait_s


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds that `Retry-After` asks for, in seconds or as a date; 0 without a readable value."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _timeout_name(error: httpx.TimeoutException, options: CollectOptions) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {options.connect_timeout_s:g} s"
    return f"no answer within {options.read_timeout_s:g} s"


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
