"""The request log: one JSON line a request. No text, key or header of a client gets into it, but a well-formed id.

A thread of its own writes: whoever reads a container's output may stop reading, and no request waits for that.
"""

import fcntl
import json
import logging
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

REQUEST_LOG = "requests.jsonl"
"""The file of target process, in the service's folder."""
_logger = logging.getLogger(__name__)
_GATHER_S = 0.1
"""A writing takes the lines of so long: a thread that wakes for each request would slow the server."""
_ROOM = 20_000
_MOST_BYTES = 15_000_000
_CLIENTS_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_GATEWAYS_ID = re.compile(r"[0-9a-f]{32}")


class RequestLine(NamedTuple):
    """A request that was answered or given up. No dataclass: `asdict` takes three times as long as all else here.

    at: the end of the request, in seconds since 1970
    request_id: the id in the answer, the prediction log and the gateway's log
    client_request_id: the client's own X-Request-ID if it is well formed
    caller: the name of the API key; None without keys, without a right one, and for a path that needs none
    address: the client's; behind the gateway as the gateway saw it
    path: one of the server's own, else `other`: a strange one may hold anything
    status: 499 if the client left before the answer
    ms: from the head of the request to the end of its answer
    texts: how many texts it asked about; 0 if it was refused before its body was read
    probe: whether it is a deployment's own
    """

    at: float
    request_id: str
    client_request_id: str | None
    caller: str | None
    address: str
    method: str
    path: str
    status: int
    ms: float
    texts: int
    probe: bool

    def json(self) -> str:
        """The line."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return json.dumps({**self._asdict(), "at": at, "ms": round(self.ms, 1)})


class RequestLog:
    """Lines wait in memory for at most a tenth of a second; what a killed server had not written is lost.

    `write` takes whole lines; what it refuses with OSError is counted by `on_drop`, like lines without room.
    """

    def __init__(self, write: Callable[[bytes], None], on_drop: Callable[[float], None], *, room: int = _ROOM) -> None:
        self._write, self._on_drop, self._room = write, on_drop, room
        self._waiting: deque[RequestLine] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def add(self, line: RequestLine) -> None:
        """Queue the line, or drop it without room; never waits."""
        if len(self._waiting) >= self._room:
            self._on_drop(1)
            return
        self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._closing.set()
        self._wake.set()
        self._thread.join(5)

    def _run(self) -> None:
        closing = False
        while not (closing and not self._waiting):
            self._wake.wait()
            closing = self._closing.wait(_GATHER_S)
            self._wake.clear()
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._write_lines(lines)

    def _write_lines(self, lines: list[RequestLine]) -> None:
        if not lines:
            return
        try:
            self._write("".join(f"{line.json()}\n" for line in lines).encode())
        except OSError as error:
            self._on_drop(len(lines))
            if not self._lost:  # once, until it works again: this log may be on the same full disk
                _logger.warning("requests are not on record: %s", error)
            self._lost += len(lines)
        else:
            if self._lost:
                _logger.warning("%d requests are not on record, those from now on are", self._lost)
            self._lost = 0


def destination(path: Path | None) -> Callable[[bytes], None]:
    """How lines get to `path`, or without it to standard output, which a container's engine rotates."""
    return _to_standard_output if path is None else RotatedFile(path).write


def _to_standard_output(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


class RotatedFile:
    """A file and one older one beside it, `<name>.1`. The servers of one service write it at the same time."""

    def __init__(self, path: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes

    def write(self, lines: bytes) -> None:
        """Append whole lines. A file that has grown to its bound makes way for a new one."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "ab") as file:  # noqa: PTH123  a descriptor
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(lines)
            file.flush()
            grown = os.fstat(descriptor)
            # Another server may have moved the file since it was opened here.
            if grown.st_size >= self._most_bytes and grown.st_ino == self._path.stat().st_ino:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))


def accepted_id(given: str | None) -> str | None:
    """The client's id of its request if it is well formed: up to 64 letters, digits and `. _ : -`."""
    return given if given and _CLIENTS_ID.fullmatch(given) else None


def gateways_id(given: str | None) -> str | None:
    """The gateway's id of the request; None if the request did not come through it."""
    return given if given and _GATEWAYS_ID.fullmatch(given) else None
