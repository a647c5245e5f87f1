"""The texts that wait for the model, shared fairly among clients, and among the requests of each client.

No threads and no clock. This is fair queueing: each client, and each request of a client, is charged for the texts that
were taken from it. The next batch belongs to the request whose next portion would be finished first if all requests
were computed at the same time. So a single text passes batches of thousands, and many single texts do not stop a batch.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

WASTE = 0.1
"""Share of a batch that may be padding. Batches that ignore length are slower than no batches."""
FREE_PADDING = 16
"""Tokens of padding that a batch may always have, because they take less time than another batch. On two cores, a batch
of the base-size model takes 2.5 ms, plus 0.1 ms a token.
"""
SMALL = 2_000
"""Cost of a request whose texts share batches with those of others. A larger one fills batches by itself."""
_PORTION = 2_000
_EACH = 20


def cost_of(text: str) -> int:
    """What a text is expected to cost, before anything is done with it: its characters, and as many as a short text."""
    return len(text) + _EACH


@dataclass(eq=False, slots=True)
class Text:
    """A waiting text. `content` is what was sent, and later what was prepared from it, of `length` tokens."""

    request: "Request"
    place: int
    content: Any
    cost: int
    length: int = 0


class Batches:
    """Prepared texts by length."""

    def __init__(self, *, padded: bool) -> None:
        self._padded = padded
        self._by_length: dict[int, dict[Text, None]] = {}

    def add(self, text: Text) -> None:
        self._by_length.setdefault(text.length if self._padded else 0, {})[text] = None

    def remove(self, text: Text) -> None:
        length = text.length if self._padded else 0
        del self._by_length[length][text]
        if not self._by_length[length]:
            del self._by_length[length]

    def around(self, first: Text, most: float) -> list[Text]:
        """`first` with the texts nearest to it in length: at most `most` tokens with their padding, not `wasteful`."""
        batch, tokens, widest = [first], first.length, first.length
        for length in sorted(self._by_length, key=lambda length: (abs(length - first.length), length)):
            for text in self._by_length[length]:
                if text is first:
                    continue
                widest = max(widest, text.length)
                tokens += text.length
                area = widest * (len(batch) + 1) if self._padded else tokens
                if area > most or wasteful(area, tokens):
                    return batch
                batch.append(text)
        return batch


@dataclass(eq=False)
class _Client:
    """`charged` for the texts taken, `cost` of those that wait; a new request begins at `clock`."""

    name: str
    charged: float
    cost: int = 0
    clock: float = 0.0
    requests: dict["Request", None] = field(default_factory=dict)


@dataclass(eq=False)
class Request:
    """The texts of a request that wait: `unprepared`, in preparation, or `ready` and in `batches`."""

    client: _Client
    number: int
    charged: float
    cost: int
    waiting: int
    small: bool
    batches: Batches
    unprepared: deque[Text] = field(default_factory=deque)
    ready: dict[Text, None] = field(default_factory=dict)

    @property
    def portion(self) -> int:
        """What it is charged for in advance. Small requests come in the order of their arrival."""
        return 0 if self.small else min(self.cost, _PORTION)


class Waiting:
    """All waiting texts: their number and their cost."""

    def __init__(self, *, padded: bool) -> None:
        """`padded`: a batch is padded to its longest text, so it takes texts of similar length."""
        self.texts = 0
        self.cost = 0
        self._clock = 0.0
        self._padded = padded
        self._small = Batches(padded=padded)
        self._clients: dict[str, _Client] = {}
        self._numbers = count()

    def before(self, client: str, cost: int) -> int:
        """The cost of what is computed until a new request of `client` would be finished, with its own `cost`."""
        known = self._clients.get(client)
        own = cost + (sum(min(request.cost, cost) for request in known.requests) if known else 0)
        return own + sum(min(other.cost, own) for other in self._clients.values() if other is not known)

    def add(self, client_name: str, texts: Sequence[str]) -> Request:
        """The texts of a new request, to be prepared."""
        client = self._clients.setdefault(client_name, _Client(client_name, self._clock))
        cost = sum(map(cost_of, texts))
        small = cost <= SMALL
        batches = self._small if small else Batches(padded=self._padded)
        request = Request(client, next(self._numbers), client.clock, cost, len(texts), small, batches)
        request.unprepared.extend(Text(request, place, text, cost_of(text)) for place, text in enumerate(texts))
        client.requests[request] = None
        client.cost += cost
        self.cost += cost
        self.texts += len(texts)
        return request

    def remove(self, request: Request) -> None:
        """Forget what still waits of a request. What is in preparation comes to `prepared` in vain."""
        for text in request.ready:
            request.batches.remove(text)
        request.ready.clear()
        request.unprepared.clear()
        if request.waiting:
            self._leave(request, request.cost, request.waiting)

    def unprepared(self, most: int) -> list[Text]:
        """The next texts to prepare, of at most `most` cost or one."""
        taken: list[Text] = []
        cost = 0
        while request := self._next(lambda request: bool(request.unprepared)):
            while request.unprepared:
                cost += request.unprepared[0].cost
                if taken and cost > most:
                    return taken
                taken.append(request.unprepared.popleft())
        return taken

    def prepared(self, text: Text, content: Any, length: int) -> None:
        """The text may be taken into a batch."""
        if text.request.waiting:
            text.content, text.length = content, length
            text.request.ready[text] = None
            text.request.batches.add(text)

    def batch(self, most: float) -> list[Text]:
        """Take the next batch, of at most `most` tokens with its padding or one text; empty if nothing is ready."""
        request = self._next(lambda request: bool(request.ready))
        if request is None:
            return []
        batch = request.batches.around(next(iter(request.ready)), most)
        for text in batch:
            text.request.batches.remove(text)
            del text.request.ready[text]
            self._charge(text)
        return batch

    def _next(self, has_work: Callable[[Request], bool]) -> Request | None:
        found: list[tuple[float, int, Request]] = []
        for client in self._clients.values():
            able = [request for request in client.requests if has_work(request)]
            if able:
                first = min(able, key=lambda request: (request.charged + request.portion, request.number))
                found.append((client.charged + first.portion, first.number, first))
        return min(found)[2] if found else None

    def _charge(self, text: Text) -> None:
        request, client = text.request, text.request.client
        client.clock += text.cost / len(client.requests)
        self._clock += text.cost / len(self._clients)
        request.charged += text.cost
        client.charged += text.cost
        self._leave(request, text.cost, 1)

    def _leave(self, request: Request, cost: int, texts: int) -> None:
        client = request.client
        request.cost -= cost
        client.cost -= cost
        self.cost -= cost
        request.waiting -= texts
        self.texts -= texts
        if not request.waiting:
            del client.requests[request]
            if not client.requests:
                del self._clients[client.name]


def wasteful(area: int, tokens: int) -> bool:
    """Whether a batch of `tokens`, `area` with its padding, holds so much padding that two batches take less time."""
    return area - tokens > max(WASTE * area, FREE_PADDING)
