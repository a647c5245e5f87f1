"""The model behind the routes: loaded, proven by its golden sentences, then asked through the batcher."""

import asyncio
import contextlib
import gc
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from mlops_assets.failures import Failure
from mlops_assets.masking import mask
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.models.batching import Batcher, BatchReport, Prepared, QueueFull, TooBusy
from mlops_assets.serving.models.model import LoadedModel, Model, Tokenises, prove
from mlops_assets.serving.models.waiting import cost_of
from mlops_assets.serving.options import ServerOptions
from mlops_assets.serving.problems import Refused

_IN_ONE_GO = 100
_TRIED = 32
"""Texts that show how fast the model is."""

State = Literal["loading", "ready", "broken"]


@dataclass(frozen=True)
class Answer:
    """The answer to a text, which is masked."""

    text: str
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

    def refuse_when_full(self, client: str, body_bytes: int) -> None:
        """Raise `Refused` 429 if a body of this size would find no room, whatever it holds."""
        if self._batcher is not None:
            with _as_refusals():
                # JSON may write a character in six bytes.
                self._batcher.refuse_when_full(client, 1, cost=body_bytes // 6)

    async def answers(self, texts: Sequence[str], client: str, *, counted: bool = True) -> list[Answer]:
        """An answer per text, in order, `counted` in the metrics; raises `Refused` 429 or 503.

        The texts are masked here, as the pipeline masks reviews: the model sees no personal data.
        """
        loaded = self.loaded
        assert self._batcher is not None  # noqa: S101  # set before the state is ready; this tells the type checker
        if not texts:
            return []
        with _as_refusals():
            rows = await self._batcher.answers(texts, client)
        answers: list[Answer] = []
        for prepared, row in rows:
            answer = answer_of(loaded.model.labels, prepared.text, row)
            answers.append(answer)
            if counted:
                self._count_answer(answer)
            if len(answers) % _IN_ONE_GO == 0:
                await asyncio.sleep(0)  # a thousand answers in one go would delay other requests
        return answers

    def _count_answer(self, answer: Answer) -> None:
        self._metrics.predictions.labels(answer.sentiment).inc()
        self._metrics.confidence.observe(answer.confidence)
        self._metrics.text_length.observe(len(answer.text))

    async def _start(self) -> None:
        # Threads that cut n-grams give the interpreter back ten times sooner than by default, so /live and /ready stay
        # quick while inference is saturated.
        sys.setswitchinterval(0.0005)
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(None, self._load)
            await loop.run_in_executor(None, prove, loaded)
            batcher = self._batcher_of(loaded.model)
            # A model's first answers are slow: its speed is that of the second time.
            tried = list(itertools.islice(itertools.cycle(golden.text for golden in loaded.golden), _TRIED))
            await loop.run_in_executor(None, batcher.try_out, tried)
        except Failure as error:
            self.state, self.reason = "broken", str(error)
            return
        except Exception as error:
            self.state, self.reason = "broken", f"the model cannot be loaded: {type(error).__name__}: {error}"
            raise
        self._loaded, self._batcher = loaded, batcher
        self._metrics.queue.set_function(lambda: batcher.depth)
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

    def _batcher_of(self, model: Model) -> Batcher:
        return Batcher(
            prepare=_preparation(model),
            infer=model.of_tokens if isinstance(model, Tokenises) else model.probabilities,
            padded=isinstance(model, Tokenises),
            workers=self._options.workers,
            batch_tokens=self._options.batch_tokens,
            max_queue_texts=self._options.max_queue_texts,
            deadline_s=self._options.deadline_s,
            on_batch=self._count,
        )

    def _count(self, report: BatchReport) -> None:
        self._metrics.batch_texts.observe(report.texts)
        self._metrics.batch_tokens.observe(report.tokens)
        self._metrics.inference.observe(report.seconds)


def answer_of(labels: Sequence[str], text: str, row: np.ndarray) -> Answer:
    """The likeliest label with all probabilities, rounded to 6 digits."""
    values = [round(float(value), 6) for value in row]
    best = max(range(len(values)), key=values.__getitem__)
    return Answer(text, labels[best], values[best], dict(zip(labels, values, strict=True)))


@contextlib.contextmanager
def _as_refusals() -> Iterator[None]:
    try:
        yield
    except TooBusy as error:
        status = 429 if isinstance(error, QueueFull) else 503
        raise Refused(status, str(error), headers={"Retry-After": str(error.retry_after_s)}) from error


def _preparation(model: Model) -> Callable[[Sequence[str]], list[Prepared]]:
    """Masks texts, and tokenises them if the model computes tokens."""

    def prepare(texts: Sequence[str]) -> list[Prepared]:
        masked = [mask(text) for text in texts]
        if not isinstance(model, Tokenises):
            return [Prepared(text, text, cost_of(text)) for text in masked]
        return [Prepared(text, ids, len(ids)) for text, ids in zip(masked, model.tokenise(masked), strict=True)]

    return prepare
