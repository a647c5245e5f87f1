"""What happens around every request: its id, key, HEAD, the form, size and time of its body, security headers.

What a connection may cost before its request is known is in connections.py.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.serving import problems
from mlops_assets.serving.access import ANONYMOUS, Access
from mlops_assets.serving.gateway_headers import PRIVATE, PROBE, REQUEST_ID
from mlops_assets.serving.log.request_log import RequestLine, accepted_id, gateways_id
from mlops_assets.serving.options import ServerOptions
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

_BODY_S, _BODY_BYTES_PER_S = 30.0, 16 * 1024
"""A body may take half a minute, and a second more for every so many bytes of it."""
_HELD_BYTES = 256 * 1024 * 1024
"""Memory for the bodies of all requests under way: 64 of the largest allowed by default."""
_DISCARD_BYTES, _DISCARD_S = 64 * 1024 * 1024, 5.0
"""How much of a refused body is read, and for how long: a client cut off while it writes never sees the answer."""

JSON_PATHS = frozenset({"/predict", "/predict/batch", "/explain", "/feedback"})
"""Paths that take a body."""
MODEL_PATHS = JSON_PATHS - {"/feedback"}

_SEND = "send JSON in UTF-8 with the header Content-Type: application/json"
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


@dataclass
class Draining:
    """While `active`, every answer closes its connection, so that the client opens the next one elsewhere."""

    active: bool = False


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        options: ServerOptions,
        record: Callable[[RequestLine], None],
        draining: Draining,
        access: Access,
        refuse_when_full: Callable[[str, int], None],
        paths: Iterable[str],
        keyed_paths: Iterable[str],
    ) -> None:
        """`record` gets every request at its end, by one of `paths` or as `other`; `keyed_paths` need a key if keys are
        on.
        """
        self._app, self._record, self._draining, self._access = app, record, draining, access
        self._refuse_when_full = refuse_when_full
        self._max_body_bytes, self._behind_gateway = options.max_body_bytes, options.behind_gateway
        self._paths, self._keyed_paths = frozenset(paths), frozenset(keyed_paths)
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = (self._behind_gateway and gateways_id(headers.get(REQUEST_ID))) or uuid.uuid4().hex
        clients_id = accepted_id(headers.get("x-request-id"))
        state = scope.setdefault("state", {})
        probe = PROBE in headers and (self._behind_gateway or state.get(PRIVATE, False))
        state.update(request_id=request_id, probe=probe)
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
                answered = MutableHeaders(scope=message)
                answered["x-request-id"] = clients_id or request_id
                for name, value in SECURITY_HEADERS.items():
                    answered[name] = value
                answered["content-security-policy"] = _POLICY
                if self._draining.active:
                    answered["connection"] = "close"
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
            caller = state.get("caller", ANONYMOUS)
            self._record(
                RequestLine(
                    at=time.time(),
                    request_id=request_id,
                    client_request_id=clients_id,
                    caller=None if caller == ANONYMOUS else caller,
                    address=_address(scope),
                    method=method if path != "other" else "any",
                    path=path,
                    status=status,
                    ms=1000 * (time.perf_counter() - started),
                    texts=state.get("texts", 0),
                    probe=probe,
                )
            )

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        try:
            if scope["path"] in self._keyed_paths:
                caller = self._access.identify(Headers(scope=scope).get("authorization"))
                scope["state"].update(caller=caller, client=_address(scope) if caller == ANONYMOUS else caller)
                self._access.admit(caller)
            announced = self._announced(scope)
            _require_json(scope)
            if scope["path"] in MODEL_PATHS:
                self._refuse_when_full(scope["state"]["client"], announced)
        except Refused as refused:
            await _refuse(refused, request_id, scope, receive, send)
            return
        body = _Body(receive, self._max_body_bytes, self._hold)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._held_bytes -= body.bytes

    def _announced(self, scope: Scope) -> int:
        """The announced length of the body; raises `Refused` if it is no number or too large."""
        announced = Headers(scope=scope).get("content-length", "0").strip()
        if not announced.isdecimal():
            raise Refused(400, f"Content-Length must be a number, got {_printable(announced)}", field="Content-Length")
        if int(announced) > self._max_body_bytes:
            raise Refused(413, _too_large(self._max_body_bytes), field="body")
        return int(announced)

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > max(_HELD_BYTES, self._max_body_bytes):
            raise HTTPException(503, "too many bodies arrive at once: retry later", headers={"Retry-After": "1"})


class _Body:
    """A request's body as it arrives; raises HTTPException 408, 413 or 503, which FastAPI passes through unchanged."""

    def __init__(self, receive: Receive, max_bytes: int, hold: Callable[[int], None]) -> None:
        self._receive, self._max_bytes, self._hold = receive, max_bytes, hold
        self._began_s = asyncio.get_running_loop().time()
        self._complete = False
        self.bytes = 0

    async def receive(self) -> Message:
        """The next part of the body, then whatever the server says of the connection."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._began_s + _BODY_S + self.bytes / _BODY_BYTES_PER_S):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not arrive within {_BODY_S:g} s: send it faster, or fewer texts"
            raise HTTPException(408, detail, headers={"Connection": "close"}) from None
        self._complete = not message.get("more_body")
        size = len(message.get("body", b""))
        self.bytes += size
        self._hold(size)
        if self.bytes > self._max_bytes:
            await _discard(self._receive, complete=self._complete)
            raise HTTPException(413, _too_large(self._max_bytes))
        return message


def _address(scope: Scope) -> str:
    """The client's, which uvicorn takes from the gateway's header if there is a gateway."""
    return scope["client"][0] if scope.get("client") else ""


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes: send fewer or shorter texts"


async def _refuse(refused: Refused, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, and end the answer when the client has sent its body."""
    # A client that waits for `100 Continue` gets this answer instead and does not send its body.
    waits = "expect" in Headers(scope=scope)
    answer = problems.response(
        refused.status,
        refused.detail,
        field=refused.field,
        request_id=request_id,
        headers={**refused.headers, "Connection": "close"} if waits else refused.headers,
    )

    async def send_open(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await answer(scope, receive, send_open)
    await _discard(receive, complete=waits)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive, *, complete: bool) -> None:
    read = 0
    with contextlib.suppress(TimeoutError):  # the answer was sent: a client that goes on sending loses its connection
        async with asyncio.timeout(_DISCARD_S):
            while not complete and read < _DISCARD_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                complete = not message.get("more_body")


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
