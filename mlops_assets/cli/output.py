"""Standard output whose reader may go away, as in `make why | head`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


class _UntilNobodyReads:
    """Standard output; once nobody reads it, what is printed goes nowhere.

    A command goes on to its end: `make run | head` must not leave a half-made deployment.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.unread = False

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _to_nowhere(self) -> None:
        """What the stream still holds back goes there too, so that nothing fails when Python ends."""
        self.unread = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextmanager
def quiet_when_unread() -> Iterator[None]:
    """Print to a pipe without an error when its reader is gone; the process then ends as other programs do: SIGPIPE."""
    kept, output = sys.stdout, _UntilNobodyReads(sys.stdout)
    sys.stdout = output
    try:
        yield
    finally:
        output.flush()
        sys.stdout = kept
        if output.unread:
            _end_by_signal()


def _end_by_signal() -> NoReturn:
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + signal.SIGPIPE)
