"""The log of predictions, written by its own thread: no request waits for it, and dropped entries are counted."""

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from mlops_assets.serving.log.prediction_store import PredictionStore, Row, StoreDown, open_store
from mlops_assets.serving.problems import Refused

PROBE = "X-Golden-Probe"
"""The header of a deployment's own questions, which are not logged. The gateway takes it off what clients send."""

_logger = logging.getLogger(__name__)
_BATCH = 500


@dataclass(frozen=True)
class Prediction:
    """One answer as it is logged; `text` is None unless texts are logged."""

    request_id: str
    caller: str
    sentiment: str
    confidence: float
    probabilities: dict[str, float]
    characters: int
    text: str | None
    model_version: str
    dataset_version: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def row(self) -> Row:
        """In the order of the table's columns."""
        return (
            self.request_id,
            self.at.isoformat(),
            self.caller,
            self.sentiment,
            self.confidence,
            json.dumps(self.probabilities),
            self.characters,
            self.text,
            self.model_version,
            self.dataset_version,
        )


class PredictionLog(Protocol):
    """Where predictions go."""

    def add(self, prediction: Prediction) -> None:
        """Queue the prediction, or drop it if the queue is full; never waits."""
        ...

    async def feedback(self, request_id: str, label: str, caller: str) -> None:
        """Attach `label`; raises `Refused` 404 if no prediction of this caller has the id, 503 without a store."""
        ...

    def close(self) -> None:
        """Write what is queued, then stop."""
        ...


class NoLog:
    """Nothing is kept."""

    def add(self, prediction: Prediction) -> None:
        del prediction

    async def feedback(self, request_id: str, label: str, caller: str) -> None:
        del request_id, label, caller
        raise Refused(503, "this server keeps no predictions: set PREDICTION_LOG or POSTGRES_HOST")

    def close(self) -> None:
        return


class ThreadedLog:
    """A bounded queue and one thread that owns the store's connection."""

    def __init__(self, store: PredictionStore, *, on_drop: Callable[[float], None], room: int = 20_000) -> None:
        self._store, self._on_drop = store, on_drop
        self._waiting: queue.Queue[Row | _Ask | None] = queue.Queue(room)
        self._thread = threading.Thread(target=self._write, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, prediction: Prediction) -> None:
        try:
            self._waiting.put_nowait(prediction.row())
        except queue.Full:
            self._on_drop(1)

    async def feedback(self, request_id: str, label: str, caller: str) -> None:
        loop = asyncio.get_running_loop()
        ask = _Ask(request_id, label, caller, datetime.now(UTC).isoformat(), loop, loop.create_future())
        try:
            self._waiting.put_nowait(ask)  # queued after its prediction, which is then written first
        except queue.Full:
            raise Refused(429, "the prediction log is full: retry later", headers={"Retry-After": "5"}) from None
        try:
            known = await ask.future
        except StoreDown as error:
            raise Refused(503, str(error), headers={"Retry-After": "5"}) from error
        if not known:
            raise Refused(404, "no prediction that this key asked for has this id", field="request_id")

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(10)

    def _write(self) -> None:
        open_ = True
        while open_:
            batch: list[Row] = []
            item = self._waiting.get()
            while True:
                if item is None:
                    open_ = False
                elif isinstance(item, _Ask):
                    self._write_rows(batch)
                    batch = []
                    self._attach(item)
                else:
                    batch.append(item)
                if not open_ or len(batch) >= _BATCH:
                    break
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            self._write_rows(batch)
        self._store.close()

    def _write_rows(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            self._store.write(rows)
        except StoreDown as error:
            self._on_drop(len(rows))
            _logger.warning("%d predictions are not on record: %s", len(rows), error)

    def _attach(self, ask: "_Ask") -> None:
        try:
            known = self._store.attach(ask.request_id, ask.label, ask.caller, ask.at)
        except StoreDown as error:
            ask.loop.call_soon_threadsafe(_settle, ask.future, error)
        else:
            ask.loop.call_soon_threadsafe(_settle, ask.future, known)


@dataclass(frozen=True)
class _Ask:
    request_id: str
    label: str
    caller: str
    at: str
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[bool]"


def _settle(future: "asyncio.Future[bool]", outcome: bool | Exception) -> None:  # noqa: FBT001  # a future's result
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def open_log(address: str, *, on_drop: Callable[[float], None]) -> PredictionLog:
    """The log at `sqlite:PATH` or `postgresql://…`; no log if `address` is empty."""
    return ThreadedLog(open_store(address), on_drop=on_drop) if address else NoLog()
