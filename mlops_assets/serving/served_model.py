"""The model behind the routes: loaded, proven by its golden sentences, then asked through the batcher."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from mlops_assets.failures import Failure
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.models.batching import Batcher, BatchReport, DeadlinePassed, QueueFull
from mlops_assets.serving.models.model import CountsTokens, LoadedModel, prove
from mlops_assets.serving.options import ServerOptions
from mlops_assets.serving.problems import Refused

_IN_ONE_GO = 100

State = Literal["loading", "ready", "broken"]


@dataclass(frozen=True)
class Answer:
    """One text's answer."""

    sentiment: str
    confidence: float
    probabilities: dict[str, float]


class ServedModel:
    """Loads and proves the model in a thread, then answers; `reason` says why it is not ready."""

    def __init__(
        self, load: Callable[[], LoadedModel], options: ServerOptions, metrics: Metrics, release_version: str
    ) -> None:
        self._load, self._options, self._metrics = load, options, metrics
        self.release_version = release_version
        self.since = datetime.now(UTC)
        self.state: State = "loading"
        self.reason = "the model is loading"
        self._loaded: LoadedModel | None = None
        self._batcher: Batcher | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to load; returns at once."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def started(self) -> None:
        """Wait until the model is ready or known to be broken."""
        if self._starting is not None:
            await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """Wait until loading has ended, then stop the batcher."""
        await self.started()
        if self._batcher is not None:
            self._batcher.close()

    @property
    def loaded(self) -> LoadedModel:
        """The model; raises `Refused` 503 until it is proven."""
        if self.state != "ready" or self._loaded is None:
            raise Refused(503, self.reason, headers={"Retry-After": "1"})
        return self._loaded

    async def answers(self, texts: Sequence[str], *, counted: bool = True) -> list[Answer]:
        """One answer per text, in order, `counted` in the metrics; raises `Refused` 429 or 503."""
        loaded = self.loaded
        assert self._batcher is not None  # noqa: S101  # set before the state is ready; this tells the type checker
        if not texts:
            return []
        try:
            rows = await self._batcher.probabilities(texts)
        except QueueFull as error:
            raise Refused(429, str(error), headers={"Retry-After": str(round(error.retry_after_s))}) from error
        except DeadlinePassed as error:
            raise Refused(503, str(error), headers={"Retry-After": "1"}) from error
        finally:
            self._metrics.queue.set(self._batcher.depth)
        answers: list[Answer] = []
        for text, row in zip(texts, rows, strict=True):
            answer = answer_of(loaded.model.labels, row)
            answers.append(answer)
            if counted:
                self._count_answer(text, answer)
            if len(answers) % _IN_ONE_GO == 0:
                await asyncio.sleep(0)  # a thousand answers in one go would delay other requests
        return answers

    def _count_answer(self, text: str, answer: Answer) -> None:
        self._metrics.predictions.labels(answer.sentiment).inc()
        self._metrics.confidence.observe(answer.confidence)
        self._metrics.text_length.observe(len(text))

    async def _start(self) -> None:
        # Threads that cut n-grams give the interpreter back ten times sooner than by default, so /live and /ready stay
        # quick while inference is saturated.
        sys.setswitchinterval(0.0005)
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(None, self._load)
            began = time.perf_counter()
            await loop.run_in_executor(None, prove, loaded)
            proven_s = time.perf_counter() - began
        except Failure as error:
            self.state, self.reason = "broken", str(error)
            return
        except Exception as error:
            self.state, self.reason = "broken", f"the model cannot be loaded: {type(error).__name__}: {error}"
            raise
        options, lengths = self._options, _lengths(loaded)
        self._loaded = loaded
        self._batcher = Batcher(
            infer=loaded.model.probabilities,
            lengths=lengths,
            tokens_per_s=sum(lengths([golden.text for golden in loaded.golden])) / max(proven_s, 1e-6),
            workers=options.workers,
            batch_tokens=options.batch_tokens,
            max_queue_texts=options.max_queue_texts,
            deadline_s=options.deadline_s,
            on_batch=self._count,
        )
        self._metrics.model.labels(
            loaded.version,
            loaded.dataset_version,
            self.release_version,
            loaded.model.manifest.kind,
            loaded.device,
        ).set(1)
        # Objects made so far live as long as the process. Each search through them for garbage would stop every request
        # for a tenth of a second.
        gc.freeze()
        self.since = datetime.now(UTC)
        self.state, self.reason = "ready", ""

    def _count(self, report: BatchReport) -> None:
        self._metrics.batch_texts.observe(report.texts)
        self._metrics.batch_tokens.observe(report.tokens)
        self._metrics.inference.observe(report.seconds)


def answer_of(labels: Sequence[str], row: np.ndarray) -> Answer:
    """The likeliest label with all probabilities, rounded to 6 digits."""
    values = [round(float(value), 6) for value in row]
    best = max(range(len(values)), key=values.__getitem__)
    return Answer(labels[best], values[best], dict(zip(labels, values, strict=True)))


def _lengths(loaded: LoadedModel) -> Callable[[Sequence[str]], list[int]]:
    model = loaded.model
    if isinstance(model, CountsTokens):
        return model.tokens
    return lambda texts: [len(text) // 4 + 1 for text in texts]
