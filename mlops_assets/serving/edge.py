"""What happens around every request: its id, HEAD, the form and size of its body, security headers, metrics."""

import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.serving import problems
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.problems import Refused

_logger = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
_POLICY += "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_DISCARD_AT_MOST = 64 * 1024 * 1024


JSON_PATHS = frozenset({"/predict", "/predict/batch", "/explain", "/feedback"})
"""Paths that take a body."""

_SEND = "send JSON in UTF-8 with the header Content-Type: application/json"
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


@dataclass
class Draining:
    """While `active`, every answer closes its connection, so that the client opens the next one elsewhere."""

    active: bool = False


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, draining: Draining, max_body_bytes: int, paths: Iterable[str]
    ) -> None:
        self._app, self._metrics, self._draining = app, metrics, draining
        self._max_body_bytes = max_body_bytes
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        path = scope["path"] if scope["path"] in self._paths else "other"
        status = 500
        # The routes know GET; its answer without the body is the answer to HEAD.
        head, method = scope["method"] == "HEAD", scope["method"]
        if head:
            scope = {**scope, "method": "GET"}

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers["content-security-policy"] = _POLICY
                if self._draining.active:
                    headers["connection"] = "close"
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._guarded(scope, receive, send_dressed, request_id)
        except Exception:
            # Nothing is outside of this: whatever failed, the client gets a problem document and the log the trace.
            _logger.exception("request %s to %s failed", request_id, path)
            answer = problems.response(500, "the server failed: its log names the request id", request_id=request_id)
            await answer(scope, receive, send_dressed)
        finally:
            self._metrics.requests.labels(path, method if path != "other" else "any", str(status)).inc()
            self._metrics.latency.labels(path).observe(time.perf_counter() - started)
            if status >= 400:
                self._metrics.errors.labels(str(status)).inc()

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        too_large = f"the body is larger than {self._max_body_bytes} bytes: send fewer or shorter texts"
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._max_body_bytes:
            await _discard(receive)
            answer = problems.response(413, too_large, field="body", request_id=request_id)
            await answer(scope, receive, send)
            return
        try:
            _require_json(scope)
        except Refused as refused:
            await _discard(receive)
            answer = problems.response(
                refused.status, refused.detail, field=refused.field, request_id=request_id, headers=refused.headers
            )
            await answer(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                if message.get("more_body"):
                    await _discard(receive)
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, receive_counted, send)


async def _discard(receive: Receive) -> None:
    """Read what the client is still sending: a client that is cut off while it writes never sees the answer."""
    read = 0
    while read < _DISCARD_AT_MOST:
        message = await receive()
        read += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def _require_json(scope: Scope) -> None:
    """Raise `Refused` unless the body is JSON in UTF-8, not compressed. A body without a Content-Type counts as JSON.

    That is refused if a page of another origin sends it: before such a page may send JSON, a browser asks the server,
    and a body without a type would avoid that question.
    """
    if scope["method"] != "POST" or scope["path"] not in JSON_PATHS:
        return
    headers = Headers(scope=scope)
    encodings = [part.strip().lower() for part in headers.get("content-encoding", "").split(",") if part.strip()]
    if any(encoding != "identity" for encoding in encodings):
        detail = (
            f"Content-Encoding {_printable(', '.join(encodings))} is not read: send the body as it is, uncompressed"
        )
        raise Refused(415, detail, field="Content-Encoding", headers={"Accept-Encoding": "identity"})
    given = headers.get("content-type", "").strip()
    if not given:
        if "origin" in headers:
            raise _refused(f"the body has no Content-Type: {_SEND}")
        MutableHeaders(scope=scope)["content-type"] = "application/json"
        return
    kind, _, parameters = given.partition(";")
    main, _, sub = kind.strip().lower().partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        hint = " (curl -d sends form data unless it gets -H)" if sub == "x-www-form-urlencoded" else ""
        raise _refused(f"Content-Type {_printable(kind.strip())} is not read: {_SEND}{hint}")
    charset = _charset(parameters)
    if charset not in _CHARSETS:
        raise _refused(f"the charset {_printable(charset)} of Content-Type is not read: {_SEND}")


def _refused(detail: str) -> Refused:
    return Refused(415, detail, field="Content-Type", headers={"Accept": "application/json"})


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return "utf-8"


def _printable(value: str) -> str:
    """The client chose this value of a header: show it printable and not too long."""
    return repr(value if len(value) <= 60 else f"{value[:59]}…")
