"""What containers wrote: a server its messages on standard error, a line for each request on standard output."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from mlops_assets.deploy.backend import Part

_STREAMS: dict[Part, dict[str, bool]] = {
    "service": {"stdout": False, "stderr": True},
    "requests": {"stdout": True, "stderr": False},
    "gateway": {"stdout": True, "stderr": True},
}


def last_lines(container: Any, most: int, part: Part = "service") -> str:
    """The last lines. Not by the engine's `tail`: it counts the lines of both streams before it leaves one out."""
    last = deque(_text(container.logs(stream=True, follow=False, **_STREAMS[part])), maxlen=most)
    return "".join(last)


def followed(container: Any, most: int, part: Part) -> Iterator[str]:
    """The last lines, then those to come until the container ends; a line of this very moment may come twice."""
    coming = container.logs(stream=True, follow=True, tail=0, **_STREAMS[part])
    yield last_lines(container, most, part)
    yield from _text(coming)


def _text(chunks: Iterator[bytes]) -> Iterator[str]:
    """Each chunk is one write of the engine, which has whole lines."""
    return (chunk.decode("utf-8", "replace") for chunk in chunks)
