"""The log of predictions, written by its own thread: no request waits for it, and dropped entries are counted."""

import asyncio
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from mlops_assets.serving.log.prediction_store import PredictionStore, Row, StoreDown, open_store
from mlops_assets.serving.log.spool import Spool
from mlops_assets.serving.problems import Refused

_logger = logging.getLogger(__name__)
_BATCH = 500
_RETRY_S = 5.0


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
    """A bounded queue and one thread that owns the store's connection.

    With a `spool`, what the store does not take waits there, and is written when the store is back.
    """

    def __init__(
        self,
        store: PredictionStore,
        *,
        on_drop: Callable[[float], None],
        room: int = 20_000,
        spool: Spool | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        self._store, self._on_drop, self._spool, self._retry_s = store, on_drop, spool, retry_s
        self._spooled = len(spool) if spool is not None else 0
        self._again_at = 0.0
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
            try:
                item = self._waiting.get(timeout=self._retry_s if self._spooled else None)
            except queue.Empty:
                self._empty_spool()
                continue
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
        if self._spooled and self._spool is not None:
            _logger.warning("%d predictions still wait in %s", self._spooled, self._spool.path)
        self._store.close()

    def _write_rows(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._spool is not None and not self._empty_spool():
            self._keep(self._spool, rows)
            return
        try:
            self._store.write(rows)
        except StoreDown as error:
            if self._spool is None:
                self._lose(len(rows), error)
                return
            _logger.warning("predictions wait in %s: %s", self._spool.path, error)
            self._again_at = time.monotonic() + self._retry_s
            self._keep(self._spool, rows)

    def _keep(self, spool: Spool, rows: Sequence[Row]) -> None:
        """Rows wait in the spool. While the store is down it is asked every few seconds, not for each request."""
        lost = spool.add(rows)
        self._spooled += len(rows) - lost
        if lost:
            self._lose(lost, "neither the database nor the spool has room for them")

    def _empty_spool(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        if not self._spooled or self._spool is None:
            return True
        if time.monotonic() < self._again_at:
            return False
        written = 0
        try:
            while rows := self._spool.oldest(_BATCH):
                self._store.write(rows)
                self._spool.remove(rows)
                written += len(rows)
        except (StoreDown, sqlite3.Error):
            self._again_at = time.monotonic() + self._retry_s
            self._spooled -= written
            return False
        _logger.warning("%d predictions that waited are on record", written)
        self._spooled = 0
        return True

    def _lose(self, count: int, reason: object) -> None:
        self._on_drop(count)
        _logger.warning("%d predictions are not on record: %s", count, reason)

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


def open_log(address: str, *, on_drop: Callable[[float], None], spool: Path | None = None) -> PredictionLog:
    """The log at `sqlite:PATH` or `postgresql://…`; no log if `address` is empty."""
    if not address:
        return NoLog()
    return ThreadedLog(open_store(address), on_drop=on_drop, spool=Spool(spool) if spool else None)
