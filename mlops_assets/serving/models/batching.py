"""Batches of waiting texts, prepared and computed in threads, within a bounded queue and a deadline.

All state lives on the event loop; only preparation and the model run in threads, so nothing here needs a lock.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlops_assets.failures import TransientFailure
from mlops_assets.serving.models.waiting import SMALL, Request, Text, Waiting, cost_of

BATCH_S = 0.02
"""How long a batch may take, which is about as long as the next text waits."""
_PREPARED_AT_ONCE = 1_500
"""Cost of the texts that are prepared in one go, in a few milliseconds. Beside four clients with batches of 1,000,
the p99 of single texts was 56 to 78 ms with 4,000 (classic model, two cores), 41 ms with 1,500.
"""
_KEPT = 0.9
"""How much of a measured speed is kept beside the newest measurement."""


class TooBusy(TransientFailure):
    """A request cannot be answered in time. After `retry_after_s` it can, if nobody else comes."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class QueueFull(TooBusy):
    """It was refused before any work."""


class DeadlinePassed(TooBusy):
    """The answer was not there within `deadline_s`."""


@dataclass(frozen=True)
class Prepared:
    """What the model computes a text from, and its length in tokens; `text` is what the model saw of it."""

    text: str
    content: Any
    length: int


@dataclass(frozen=True)
class BatchReport:
    """A finished batch, for the metrics."""

    texts: int
    tokens: int
    seconds: float


class Speed:
    """Work per second, of the newest measurements; unknown before the first."""

    def __init__(self) -> None:
        self._work = self._seconds = 0.0

    def add(self, work: float, seconds: float) -> None:
        self._work = _KEPT * self._work + work
        self._seconds = _KEPT * self._seconds + seconds

    def seconds(self, work: float) -> float:
        """How long this much work takes; 0 if it is not known."""
        return work * self._seconds / self._work if self._work else 0.0

    def work(self, seconds: float) -> float:
        """How much is done in this time; infinite if it is not known."""
        return seconds * self._work / self._seconds if self._work else math.inf


@dataclass(eq=False)
class _Asked:
    """A request: its answers so far, and who waits for them."""

    answers: list[tuple[Prepared, np.ndarray] | None]
    missing: int
    future: asyncio.Future[None]


@dataclass(frozen=True)
class _Batch:
    """`loaded` if more texts waited: only then the time tells how much can be computed."""

    texts: list[Text]
    began_s: float
    loaded: bool


@dataclass
class Batcher:
    """Hands texts to `prepare`, and what it makes of them in batches to `infer`; at most `workers` batches run at once.

    An idle worker never waits for more texts. The queue belongs to all clients in equal parts, see `Waiting`.
    """

    prepare: Callable[[Sequence[str]], Sequence[Prepared]]
    infer: Callable[[Sequence[Any]], np.ndarray]
    padded: bool = True
    workers: int = 2
    batch_tokens: int = 2_048
    max_queue_texts: int = 4_000
    deadline_s: float = 10.0
    on_batch: Callable[[BatchReport], None] = lambda _report: None
    throughput: Speed = field(default_factory=Speed)
    """Cost per second of all workers. While it is unknown, no request is refused for its time."""
    inference: Speed = field(default_factory=Speed)
    """Tokens per second of a batch."""

    def __post_init__(self) -> None:
        self._waiting = Waiting(padded=self.padded)
        self._asked: dict[Request, _Asked] = {}
        self._preparing = False
        self._running = 0
        self._finished_s = 0.0
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="inference")
        self._preparation = ThreadPoolExecutor(1, thread_name_prefix="preparation")

    @property
    def depth(self) -> int:
        """Waiting texts."""
        return self._waiting.texts

    def try_out(self, texts: Sequence[str]) -> None:
        """Learn the speed before the first request."""
        began_s = time.perf_counter()
        prepared = self.prepare(texts)
        _, seconds = self._infer(prepared)
        self.inference.add(sum(text.length for text in prepared), seconds)
        self.throughput.add(sum(map(cost_of, texts)), time.perf_counter() - began_s)

    async def answers(self, texts: Sequence[str], client: str = "") -> list[tuple[Prepared, np.ndarray]]:
        """Each text as it was prepared, with its row of probabilities, in their order.

        Raises `QueueFull` at once, before any work, or `DeadlinePassed`. A call that is cancelled takes its texts out
        of the queue.
        """
        cost = sum(map(cost_of, texts))
        self.refuse_when_full(client, len(texts), cost)
        request = self._waiting.add(client, texts)
        asked = _Asked([None] * len(texts), len(texts), asyncio.get_running_loop().create_future())
        self._asked[request] = asked
        self._prepare()
        try:
            async with asyncio.timeout(self.deadline_s):
                await asked.future
        except TimeoutError:
            wait_s = self.throughput.seconds(self._waiting.before(client, cost))
            raise DeadlinePassed(f"no answer within {self.deadline_s:g} s: retry later", wait_s) from None
        finally:
            self._waiting.remove(request)
            del self._asked[request]
        return [answer for answer in asked.answers if answer is not None]

    def refuse_when_full(self, client: str, texts: int, cost: int) -> None:
        """Raise `QueueFull` if a request has no room, or would not be answered in time."""
        waiting = self._waiting.texts
        # Requests that cost little find room beside batches that fill the queue.
        room = self.max_queue_texts + (self.max_queue_texts // 10 if cost <= SMALL else 0)
        wait_s = self.throughput.seconds(self._waiting.before(client, cost))
        if waiting and waiting + texts > room:
            share = (waiting + texts - room) / waiting
            retry_after_s = share * self.throughput.seconds(self._waiting.cost)
        elif waiting and wait_s > self.deadline_s:
            retry_after_s = wait_s - self.deadline_s
        else:
            return
        raise QueueFull(
            f"{waiting} texts are waiting, at most {self.max_queue_texts} may, for {self.deadline_s:g} s: retry later",
            retry_after_s,
        )

    def close(self) -> None:
        """Let running batches end and cancel the others."""
        for threads in (self._preparation, self._threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _prepare(self) -> None:
        if self._preparing or not (texts := self._waiting.unprepared(_PREPARED_AT_ONCE)):
            return
        self._preparing = True
        contents = [text.content for text in texts]
        running = asyncio.get_running_loop().run_in_executor(self._preparation, self.prepare, contents)
        running.add_done_callback(lambda done: self._prepared(texts, done))

    def _prepared(self, texts: list[Text], done: asyncio.Future[Sequence[Prepared]]) -> None:
        self._preparing = False
        if error := _error_of(done):
            self._fail(texts, error)
        else:
            for text, prepared in zip(texts, done.result(), strict=True):
                self._waiting.prepared(text, prepared, prepared.length)
        self._dispatch()
        self._prepare()

    def _dispatch(self) -> None:
        most = min(self.batch_tokens, self.inference.work(BATCH_S))
        while self._running < self.workers and (texts := self._waiting.batch(most)):
            self._running += 1
            batch = _Batch(texts, time.monotonic(), loaded=self._waiting.texts > 0)
            running = asyncio.get_running_loop().run_in_executor(
                self._threads, self._infer, [text.content for text in texts]
            )
            running.add_done_callback(lambda done, batch=batch: self._finish(batch, done))

    def _infer(self, texts: Sequence[Prepared]) -> tuple[np.ndarray, float]:
        began_s = time.perf_counter()
        return self.infer([text.content for text in texts]), time.perf_counter() - began_s

    def _finish(self, batch: _Batch, done: asyncio.Future[tuple[np.ndarray, float]]) -> None:
        self._running -= 1
        now_s = time.monotonic()
        if error := _error_of(done):
            self._fail(batch.texts, error)
        else:
            rows, seconds = done.result()
            tokens = sum(text.length for text in batch.texts)
            self.inference.add(tokens, seconds)
            if batch.loaded:
                cost = sum(text.cost for text in batch.texts)
                self.throughput.add(cost, now_s - max(batch.began_s, self._finished_s))
            for text, row in zip(batch.texts, rows, strict=True):
                self._answer(text, row)
            self.on_batch(BatchReport(len(batch.texts), tokens, seconds))
        self._finished_s = now_s
        self._dispatch()

    def _answer(self, text: Text, row: np.ndarray) -> None:
        asked = self._asked.get(text.request)
        if asked is None:
            return  # The client left, or the deadline passed.
        asked.answers[text.place] = (text.content, row)
        asked.missing -= 1
        if not asked.missing and not asked.future.done():
            asked.future.set_result(None)

    def _fail(self, texts: Sequence[Text], error: BaseException) -> None:
        for request in {text.request for text in texts}:
            asked = self._asked.get(request)
            if asked is not None and not asked.future.done():
                asked.future.set_exception(error)


def _error_of(done: asyncio.Future[Any]) -> BaseException | None:
    return asyncio.CancelledError() if done.cancelled() else done.exception()
