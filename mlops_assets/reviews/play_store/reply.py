"""A reply of Google Play's review feed, read with google-play-scraper's element specification.

Names, avatars and personal data in texts end here: nothing that leaves this module holds any. Not here: sending the
request (client.py).
"""

import functools
import json
import ssl
import threading
from typing import Any

from mlops_assets.masking import mask
from mlops_assets.reviews.play_store.feed import FeedReview, Page
from mlops_assets.reviews.stored.privacy import author_hash, mask_name

_IMPORTING = threading.Lock()
_NOT_FOUND, _INVALID_ARGUMENT = 5, 3  # gRPC status codes


class UnreadableReply(Exception):
    """The reply is not a page; `kind` says what it is. Never holds the reply's text, which has names in it."""

    def __init__(self, kind: str, *, throttled: bool = False, web_page: bool = False, code: int | None = None) -> None:
        super().__init__(kind)
        self.kind, self.throttled, self.web_page, self.code = kind, throttled, web_page, code

    @property
    def not_found(self) -> bool:
        return self.code == _NOT_FOUND

    @property
    def refused(self) -> bool:
        return self.code == _INVALID_ARGUMENT


class Library:
    """The parts of google-play-scraper that are used: address, payload and element specification."""

    def __init__(self) -> None:
        # Importing it switches TLS verification off for every user of urllib in the process: so it is imported only
        # here, and the switch is set back.
        with _IMPORTING:
            factory = ssl._create_default_https_context
            try:
                from google_play_scraper.constants.element import ElementSpec, ElementSpecs
                from google_play_scraper.constants.google_play import Sort
                from google_play_scraper.constants.regex import Regex
                from google_play_scraper.constants.request import PLAY_STORE_BASE_URL, Formats
            finally:
                ssl._create_default_https_context = factory
        self.base_url: str = PLAY_STORE_BASE_URL
        self.formats: Any = Formats
        self.newest: int = Sort.NEWEST.value
        self.envelope: Any = Regex.REVIEWS
        self.specs: dict[str, Any] = dict(ElementSpecs.Review)
        for name in ("at", "repliedAt"):
            # Theirs converts to naive local time; the plain number of seconds is UTC everywhere.
            self.specs[name] = ElementSpec(None, self.specs[name].data_map)


@functools.cache
def library() -> Library:
    """The library, imported once, with `ssl._create_default_https_context` left as it was."""
    return Library()


def read_page(text: str, author_key: str | None) -> Page:
    """The page in a reply; raises `UnreadableReply` for anything that is not a page."""
    inner = _payload(text)
    if not isinstance(inner, list):
        raise UnreadableReply("a page of another form")
    items = inner[0] if inner else []
    if items is None:
        items = []
    if not isinstance(items, list):
        raise UnreadableReply("a page of another form")
    return Page(tuple(_review(item, author_key) for item in items), _token(inner))


def _payload(text: str) -> Any:
    found = library().envelope.findall(text)
    if not found:
        if "<" in text[:200]:
            raise UnreadableReply("a web page instead of data (consent or captcha)", web_page=True)
        raise UnreadableReply("a cut reply")
    try:
        rows = json.loads(found[0])
    except ValueError:
        raise UnreadableReply("a cut reply") from None  # the decoder's error holds the whole reply
    row = next((row for row in rows if isinstance(row, list) and row[:1] == ["wrb.fr"]), None)
    data = row[2] if row is not None and len(row) > 2 else None
    if isinstance(data, str):
        try:
            return json.loads(data)
        except ValueError:
            raise UnreadableReply("a cut reply") from None
    # Only outside the data: a review may well contain these words.
    for name in ("PlayGatewayError", "PlayDataError"):
        if name in found[0]:
            raise UnreadableReply(name, throttled=True)
    status = row[5] if row is not None and len(row) > 5 else None
    code = status[0] if isinstance(status, list) and status and isinstance(status[0], int) else None
    raise UnreadableReply(f"no data (status {code})" if code is not None else "no data", code=code)


def _token(inner: list[Any]) -> str | None:
    # The library looks at [-2], which is the list of reviews if nothing follows the section with the token.
    for section in (inner[-2] if len(inner) > 2 else None, inner[1] if len(inner) > 1 else None):
        if isinstance(section, list) and section and isinstance(section[-1], str) and section[-1]:
            return section[-1]
    return None


def _review(item: Any, author_key: str | None) -> FeedReview:
    specs = library().specs
    review_id, at_s = specs["reviewId"].extract_content(item), specs["at"].extract_content(item)
    if not isinstance(review_id, str) or not review_id or not isinstance(at_s, int):
        raise UnreadableReply("a review without id or time")
    name = _text(specs["userName"].extract_content(item))
    written = _text(specs["content"].extract_content(item))
    replied = _text(specs["replyContent"].extract_content(item))
    if replied and name:
        replied = mask_name(replied, name)
    return FeedReview(
        review_id=review_id,
        review_text=mask(written) if written else written,
        rating=_whole(specs["score"].extract_content(item)),
        thumbs_up=_whole(specs["thumbsUpCount"].extract_content(item)),
        app_version=_text(specs["appVersion"].extract_content(item)),
        at_s=at_s,
        reply_text=mask(replied) if replied else replied,
        replied_at_s=_whole(specs["repliedAt"].extract_content(item)),
        author=author_hash(author_key, name) if author_key and name else None,
    )


def _text(value: Any) -> str | None:
    """The text, with halves of surrogate pairs (which no UTF-8 file can hold) replaced."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
