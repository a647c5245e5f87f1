"""What surrounds every request: its id, limits of its body, HEAD, security headers, metrics, and the goodbye."""

import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.serving import problems
from mlops_assets.serving.media import require_json
from mlops_assets.serving.metrics import Metrics

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
            # The outermost place: whatever failed, the client gets a problem document and the log the trace.
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
            require_json(scope)
        except problems.Refused as refused:
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
    """Read what the client is still sending: one that is cut off while it writes never sees the answer."""
    read = 0
    while read < _DISCARD_AT_MOST:
        message = await receive()
        read += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return
