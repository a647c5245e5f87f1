"""Batches of texts of similar length from many requests, within a bounded queue and a deadline.

All state lives on the event loop; only the model runs in threads, so nothing here needs a lock.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from mlops_assets.failures import TransientFailure

WASTE = 0.1
"""Share of a batch that may be padding. Batches that ignore length are slower than no batches."""
FREE_PADDING = 16
"""Tokens of padding that a batch may always have, because they take less time than another batch. On two cores, a batch
of the base-size model takes 2.5 ms, plus 0.1 ms a token.
"""
_SMOOTHING = 0.2


class QueueFull(TransientFailure):
    """The queue is full; `retry_after_s` estimates when there is room again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlinePassed(TransientFailure):
    """The text waited longer than `deadline_s`."""


@dataclass(eq=False)
class _Item:
    text: str
    length: int
    due: float
    future: asyncio.Future[np.ndarray]
    number: int


@dataclass(frozen=True)
class BatchReport:
    """One finished batch, for the metrics."""

    texts: int
    tokens: int
    seconds: float


@dataclass
class Batcher:
    """Hands texts to `infer` in batches; at most `workers` run at once, and an idle worker never waits for more."""

    infer: Callable[[Sequence[str]], np.ndarray]
    lengths: Callable[[Sequence[str]], list[int]]
    workers: int = 2
    batch_tokens: int = 2_048
    max_queue_texts: int = 4_000
    deadline_s: float = 10.0
    tokens_per_s: float = 0.0
    """The model's speed, if known before its first batch; with 0 no request is refused until then."""
    on_batch: Callable[[BatchReport], None] = lambda _report: None
    clock: Callable[[], float] = time.monotonic

    _queue: list[_Item] = field(default_factory=list)
    _running: int = 0
    _tokens_waiting: int = 0

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="inference")
        self._numbers = count()

    @property
    def depth(self) -> int:
        """Waiting texts."""
        return len(self._queue)

    async def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Rows in the order of `texts`; raises `QueueFull` at once, `DeadlinePassed` when the wait was too long."""
        self._refuse_when_full(len(texts))
        loop = asyncio.get_running_loop()
        if len(texts) <= 4:
            lengths = self.lengths(texts)
        else:
            lengths = await loop.run_in_executor(None, self.lengths, texts)
            self._refuse_when_full(len(texts))
        due = self.clock() + self.deadline_s
        items = [
            _Item(text, length, due, loop.create_future(), next(self._numbers))
            for text, length in zip(texts, lengths, strict=True)
        ]
        self._queue.extend(items)
        self._tokens_waiting += sum(lengths)
        self._dispatch()
        try:
            return np.stack(await asyncio.gather(*(item.future for item in items)))
        finally:
            for item in items:  # If the client left or one text failed, the request's other texts leave the queue.
                item.future.cancel()

    def close(self) -> None:
        """Let running batches end and cancel the others."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refuse_when_full(self, texts: int) -> None:
        wait = self._tokens_waiting / self.tokens_per_s if self.tokens_per_s else 0.0
        if len(self._queue) + texts > self.max_queue_texts or (self._queue and wait > self.deadline_s):
            raise QueueFull(
                f"{len(self._queue)} texts are waiting, at most {self.max_queue_texts} may: retry later",
                retry_after_s=max(1.0, wait / 2),
            )

    def _dispatch(self) -> None:
        while self._queue and self._running < self.workers:
            batch = self._next_batch()
            if not batch:
                continue
            self._running += 1
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, self._run, [item.text for item in batch])
            running.add_done_callback(lambda done, batch=batch: self._finish(batch, done))

    def _run(self, texts: list[str]) -> tuple[np.ndarray, float]:
        started = time.perf_counter()
        return self.infer(texts), time.perf_counter() - started

    def _next_batch(self) -> list[_Item]:
        """The oldest waiting text and those nearest to it in length, unless that is `wasteful`."""
        now = self.clock()
        waiting: list[_Item] = []
        for item in self._queue:
            if item.future.done():
                self._tokens_waiting -= item.length
            elif item.due < now:
                self._tokens_waiting -= item.length
                item.future.set_exception(DeadlinePassed(f"the text waited over {self.deadline_s:g} s: retry later"))
            else:
                waiting.append(item)
        batch = like_length(waiting, self.batch_tokens) if waiting else []
        taken = set(map(id, batch))
        self._queue = [item for item in waiting if id(item) not in taken]
        self._tokens_waiting -= sum(item.length for item in batch)
        return batch

    def _finish(self, batch: list[_Item], done: "asyncio.Future[tuple[np.ndarray, float]]") -> None:
        self._running -= 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            answers, seconds = done.result()
            tokens = sum(item.length for item in batch)
            rate = self.workers * tokens / max(seconds, 1e-6)
            self.tokens_per_s += (rate - self.tokens_per_s) * (_SMOOTHING if self.tokens_per_s else 1)
            for item, answer in zip(batch, answers, strict=True):
                if not item.future.done():
                    item.future.set_result(answer)
            self.on_batch(BatchReport(len(batch), tokens, seconds))
        else:
            for item in batch:
                if not item.future.done():
                    item.future.set_exception(error)
        self._dispatch()


def wasteful(area: int, tokens: int) -> bool:
    """Whether a batch of `tokens`, `area` with its padding, holds so much padding that two batches take less time."""
    return area - tokens > max(WASTE * area, FREE_PADDING)


def like_length(waiting: Sequence[_Item], batch_tokens: int) -> list[_Item]:
    """The oldest of `waiting` with those nearest to it in length, within `batch_tokens` padded and not `wasteful`."""
    oldest = min(waiting, key=lambda item: item.number)
    ordered = sorted(waiting, key=lambda item: (item.length, item.number))
    lengths = [item.length for item in ordered]
    position = ordered.index(oldest, max(0, bisect_right(lengths, oldest.length - 1)))
    low = high = position  # ordered[low..high] is the batch
    tokens = oldest.length
    while low > 0 or high + 1 < len(ordered):
        down = ordered[low - 1] if low > 0 else None
        up = ordered[high + 1] if high + 1 < len(ordered) else None
        take_down = up is None or (down is not None and oldest.length - down.length <= up.length - oldest.length)
        nearest = down if take_down else up
        if nearest is None:
            break
        area = max(ordered[high].length, nearest.length) * (high - low + 2)
        if area > batch_tokens or wasteful(area, tokens + nearest.length):
            break
        tokens += nearest.length
        low, high = (low - 1, high) if take_down else (low, high + 1)
    return list(ordered[low : high + 1])
