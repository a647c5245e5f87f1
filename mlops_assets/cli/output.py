"""Standard output: control characters are shown instead of obeyed, and its reader may close it early."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from mlops_assets.document import printable


class _DiscardedWhenClosed:
    """Standard output that discards what is printed after the reader closed it.

    The command still runs to its end: `make run | head` must not leave a half-made deployment.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.reader_gone = False

    def write(self, text: str) -> int:
        try:
            self._stream.write(printable(text))
        except BrokenPipeError:
            self._discard()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _discard(self) -> None:
        """Discard what is buffered too, so that flushing it does not fail when Python ends."""
        self.reader_gone = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self._stream.fileno())
        os.close(devnull)


@contextmanager
def quiet_when_unread() -> Iterator[None]:
    """Print to a pipe without an error if its reader is gone; the process then ends by SIGPIPE like other programs."""
    original, output = sys.stdout, _DiscardedWhenClosed(sys.stdout)
    sys.stdout = output
    try:
        yield
    finally:
        output.flush()
        sys.stdout = original
        if output.reader_gone:
            _end_by_signal()


def _end_by_signal() -> NoReturn:
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(128 + signal.SIGPIPE)
