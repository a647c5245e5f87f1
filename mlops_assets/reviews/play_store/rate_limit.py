"""Requests per second, shared by every thread and process that names the same file."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

LONGEST_PAUSE_S = 3600.0


class RateLimit:
    """At most `per_second` calls of `wait` return per second, over all users of `path` (None: of this object)."""

    def __init__(
        self,
        per_second: float,
        path: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._step_s = 1 / per_second
        self._path, self._clock, self._sleep = path, clock, sleep
        self._lock = threading.Lock()
        self._memory = 0.0
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file_lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False) if path else None

    def wait(self) -> None:
        """Return when the next request may be sent."""
        pause = self._reserve(self._step_s)
        if pause > 0:
            self._sleep(pause)

    def hold(self, seconds: float) -> None:
        """Let nobody send a request for `seconds`, as the store asked."""
        with self._lock:
            if self._file_lock:
                with self._file_lock:
                    self._write(max(self._next(), self._clock() + seconds))
            else:
                self._memory = max(self._next(), self._clock() + seconds)

    def _reserve(self, step_s: float) -> float:
        with self._lock:
            if self._file_lock:
                with self._file_lock:
                    now, turn = self._clock(), self._next()
                    turn = max(now, turn)
                    self._write(turn + step_s)
            else:
                now, turn = self._clock(), self._next()
                turn = max(now, turn)
                self._memory = turn + step_s
        return turn - now

    def _next(self) -> float:
        """When the next request may go; a time too far ahead means that the clock was set back."""
        turn = self._memory
        if self._path:
            try:
                turn = float(json.loads(self._path.read_text(encoding="utf-8")))
            except (FileNotFoundError, ValueError):  # no request yet; or a writer was killed in the middle of it
                turn = 0.0
        return turn if turn <= self._clock() + LONGEST_PAUSE_S else 0.0

    def _write(self, turn: float) -> None:
        if self._path:
            self._path.write_text(json.dumps(turn), encoding="utf-8")
