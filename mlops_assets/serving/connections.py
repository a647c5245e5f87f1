"""Connections before their request is known: how many there may be, how long they take, how large a head is.

uvicorn with httptools limits none of these. What happens once a request's head is known is in edge.py.
"""

import asyncio
import json
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NoReturn

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from mlops_assets.serving import problems

_FOR_FILES = 128
"""File descriptors for what is not a client's connection."""
_LOG_EVERY_S = 60.0


class _OncePerKind(logging.Filter):
    """One line a minute of each kind of message: whoever causes them must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = str(record.msg), time.monotonic()
        at, more = self._last.get(kind, (-_LOG_EVERY_S, 0))
        if now - at < _LOG_EVERY_S:
            self._last[kind] = (at, more + 1)
            return False
        self._last[kind] = (now, 0)
        if more:
            record.msg, record.args = f"{record.getMessage()} ({more} more since the last such line)", None
        return True


_logger = logging.getLogger(__name__)
_logger.setLevel(logging.INFO)  # uvicorn takes a lower level for a wish to trace every connection
_logger.addFilter(_OncePerKind())


@dataclass(frozen=True)
class Bounds:
    """What a connection may cost before its request is known. Browsers and clients of APIs stay far below."""

    connections: int = 2_000
    head_s: float = 20.0
    head_bytes: int = 32 * 1024
    headers: int = 100
    pipelined: int = 100


def possible_connections(wanted: int) -> int:
    """`wanted`, or fewer if the system allows this process fewer files. Raises the process's own limit if it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _FOR_FILES
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    if needed < wanted + _FOR_FILES:
        _logger.warning("this process may open %d files, so it takes %d connections", needed, needed - _FOR_FILES)
    return max(1, needed - _FOR_FILES)


class Door:
    """All connections of a server: at the most allowed, the one that waits longest for a request makes way.

    `on_error` counts a refused connection by its status.
    """

    def __init__(self, bounds: Bounds, on_error: Callable[[int], None]) -> None:
        self.bounds, self.on_error = bounds, on_error
        self._waiting: dict[Connection, float] = {}  # since when, the longest first
        self._check_due = False

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "Connection":
        """The protocol of a new connection: what uvicorn takes as `http`."""
        return Connection(self, config, server_state, app_state, _loop)

    def enter(self, connection: "Connection", count: int) -> None:
        """`connection` is new, and with it there are `count`."""
        self.wait(connection)
        if count <= self.bounds.connections:
            return
        longest = next(iter(self._waiting))
        if longest is not connection:
            _logger.warning("more than %d connections: the longest idle one was closed", self.bounds.connections)
            longest.abort()
            return
        _logger.warning("more than %d connections, all with requests: a new one was refused", self.bounds.connections)
        connection.refuse(503, "all connections are in use: retry later", linger=False)

    def wait(self, connection: "Connection") -> None:
        """From now on `connection` waits for a request."""
        self.leave(connection)
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.time()
        if not self._check_due:
            self._check_due = True
            loop.call_later(self.bounds.head_s, self._check)

    def leave(self, connection: "Connection") -> None:
        """`connection` has a request, or is closed."""
        self._waiting.pop(connection, None)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() - self.bounds.head_s
        for connection, _ in list(takewhile(lambda item: item[1] <= until, self._waiting.items())):
            self.leave(connection)
            connection.expire()
        longest = next(iter(self._waiting.values()), None)
        self._check_due = longest is not None
        if longest is not None:
            loop.call_at(longest + self.bounds.head_s, self._check)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with bounds."""

    def __init__(self, door: Door, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.logger = _logger
        self._door, self._bounds = door, door.bounds
        self._in_head = False
        self._too_large = self._refused = False
        self._advanced = False  # whether the last bytes brought a whole head, a part of a body, or the end of it
        self._unfinished = 0  # bytes since then
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._door.enter(self, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._door.leave(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # the client may still be sending; it sees the answer when it is done
        self._advanced = False
        super().data_received(data)
        self._unfinished = 0 if self._advanced else self._unfinished + len(data)
        if self._unfinished > self._bounds.head_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: after the body it is too late for what a header could say
        if len(self.headers) == self._bounds.headers:
            self._raise_too_large()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._bounds.head_bytes:
            self._raise_too_large()
        if len(self.pipeline) == self._bounds.pipelined:
            _logger.warning("more than %d requests were sent before their answers", self._bounds.pipelined)
            self._raise_too_large()
        self._in_head, self._advanced = False, True
        self._door.leave(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._advanced = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unsent = 0
        if not self.pipeline:
            self._door.wait(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._door.wait(self)  # until the client reads

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answering():
            self._door.leave(self)

    def send_400_response(self, msg: str) -> None:
        """Called for what the parser refuses, and for what the methods above raise."""
        del msg
        if self._too_large:
            self._refuse_head()
        else:
            self.refuse(400, "this is not HTTP/1.1 (RFC 9112)")

    def _raise_too_large(self) -> NoReturn:
        self._too_large = True
        raise ValueError  # httptools stops, and uvicorn calls `send_400_response`

    def _refuse_head(self) -> None:
        bounds = self._bounds
        if not self._answering():
            _logger.warning("a request had more than %d headers or %d bytes of them", bounds.headers, bounds.head_bytes)
        self.refuse(431, f"line and headers may have at most {bounds.head_bytes} bytes, in {bounds.headers} headers")

    def _answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def refuse(self, status: int, detail: str, *, linger: bool = True) -> None:
        """Answer, then drop what the client still sends until it closes, for at most `head_s`."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._door.on_error(status)
        self._door.wait(self)
        if self._answering():
            if self.pipeline or not self.cycle.more_body or self.cycle.response_started:
                self.abort()  # the client would take this for the answer to an earlier request
                return
            self.cycle.disconnected = True  # whatever the app answers comes too late
        body = json.dumps(problems.document(status, detail)).encode()
        headers = {"content-type": problems.MEDIA_TYPE, "content-length": len(body), "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[status] + lines.encode() + b"\r\n" + body)
        if linger:
            self.transport.write_eof()
        else:
            self.transport.close()

    def expire(self) -> None:
        """No request came in time, or the client does not read its answer."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and not 0 < self._unsent <= unsent:
            self._unsent = unsent  # it reads, slowly
            self._door.wait(self)
        elif self._unfinished and not (unsent or self._refused):
            _logger.warning("a request's line and headers did not arrive within %g s", self._bounds.head_s)
            self.refuse(408, f"line and headers did not arrive within {self._bounds.head_s:g} s")
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._door.leave(self)
        self.transport.abort()
