"""The routes that need the model: predict, batch, explain, feedback, which model it is, and the overview's content."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from mlops_assets.serving import problems
from mlops_assets.serving.access import Access
from mlops_assets.serving.bodies import (
    BatchAnswer,
    BatchRequest,
    Explanation,
    Feedback,
    FeedbackAnswer,
    ModelInfo,
    Origin,
    PredictAnswer,
    PredictRequest,
    Word,
    text_problem,
)
from mlops_assets.serving.log.prediction_log import Prediction, PredictionLog
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.models.model import LoadedModel
from mlops_assets.serving.options import ServerOptions
from mlops_assets.serving.pages import overview
from mlops_assets.serving.problems import Refused
from mlops_assets.serving.served_model import Answer, ServedModel

_MOST_WORDS = 80
_KEY = HTTPBearer(auto_error=False)
"""Shows in the documentation that these routes take a key."""
_ASKING = problems.documented(400, 401, 405, 408, 413, 415, 422, 429, 503)


class PredictionRoutes:
    """Each method is one route. Edge has admitted the caller before the body is read."""

    def __init__(
        self, served: ServedModel, options: ServerOptions, log: PredictionLog, access: Access, metrics: Metrics
    ) -> None:
        self._served, self._options, self._log, self._access, self._metrics = served, options, log, access, metrics

    def router(self) -> APIRouter:
        """The routes, to be included in the app."""
        router = APIRouter(dependencies=[Depends(_KEY), Depends(_refuse_unadmitted)])
        router.post("/predict", responses=_ASKING, response_model_exclude_none=True)(self.predict)
        router.post("/predict/batch", response_model=BatchAnswer, responses=_ASKING)(self.predict_batch)
        router.post("/explain", responses=_ASKING, response_model_exclude_none=True)(self.explain)
        router.post("/feedback", responses={**_ASKING, **problems.documented(404)})(self.feedback)
        router.get("/model/info", responses=problems.documented(401, 405, 413, 429, 503))(self.model_info)
        router.get("/overview/content", include_in_schema=False)(self.overview)
        return router

    async def predict(self, body: PredictRequest, request: Request) -> PredictAnswer:
        """The sentiment of one text."""
        request.state.texts = 1
        problem = text_problem(body.text, self._options.max_text_chars)
        if problem:
            raise Refused(422, problem, field="text")
        loaded, request_id = self._served.loaded, request.state.request_id
        (answer,) = await self._answers([body.text], request)
        self._record(request_id, answer, loaded, request)
        return PredictAnswer(
            sentiment=answer.sentiment,
            confidence=answer.confidence,
            probabilities=answer.probabilities,
            model_version=loaded.version,
            dataset_version=loaded.dataset_version,
            request_id=request_id,
            warning=loaded.trained_on.warning,
        )

    async def predict_batch(self, body: BatchRequest, request: Request) -> Response:
        """The sentiments of several texts, in their order; for an unusable text its problem."""
        request.state.texts = len(body.texts)
        if not 1 <= len(body.texts) <= self._options.max_texts:
            rule = f"must hold 1 to {self._options.max_texts} texts, got {len(body.texts)}"
            raise Refused(422, rule, field="texts")
        loaded, request_id = self._served.loaded, request.state.request_id
        faults = [text_problem(text, self._options.max_text_chars) for text in body.texts]
        usable = [index for index, fault in enumerate(faults) if fault is None]
        self._access.spend(request.state.caller, len(body.texts) - 1)
        given = await self._answers([body.texts[index] for index in usable], request)
        answers = dict(zip(usable, given, strict=True))
        results: list[Mapping[str, Any]] = []
        for index, fault in enumerate(faults):
            item_id = f"{request_id}-{index}"
            if fault is not None:
                problem = problems.document(422, fault, field=f"texts.{index}", request_id=item_id)
                results.append({"request_id": item_id, "error": problem})
                continue
            answer = answers[index]
            self._record(item_id, answer, loaded, request)
            results.append(
                {
                    "request_id": item_id,
                    "sentiment": answer.sentiment,
                    "confidence": answer.confidence,
                    "probabilities": answer.probabilities,
                }
            )
        answer = BatchAnswer(
            results=results,
            model_version=loaded.version,
            dataset_version=loaded.dataset_version,
            request_id=request_id,
            warning=loaded.trained_on.warning,
        )
        # FastAPI's own way blocks all other requests for 30 ms with a thousand results; this takes 1 ms.
        return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")

    async def explain(self, body: PredictRequest, request: Request) -> Explanation:
        """The sentiment of one text, and for each word how much the confidence falls without it."""
        request.state.texts = 1
        problem = text_problem(body.text, self._options.max_text_chars)
        if problem:
            raise Refused(422, problem, field="text")
        loaded = self._served.loaded
        (whole,) = await self._answers([body.text], request, counted=False)
        words = whole.text.split()
        if not 1 < len(words) <= min(_MOST_WORDS, self._options.max_queue_texts):
            words = []
        without = [" ".join(words[:index] + words[index + 1 :]) for index in range(len(words))]
        self._access.spend(request.state.caller, len(without))
        parts = await self._answers(without, request, counted=False)
        weights = [whole.confidence - part.probabilities[whole.sentiment] for part in parts]
        return Explanation(
            sentiment=whole.sentiment,
            confidence=whole.confidence,
            words=[Word(word=word, weight=round(weight, 6)) for word, weight in zip(words, weights, strict=True)],
            model_version=loaded.version,
            request_id=request.state.request_id,
            warning=loaded.trained_on.warning,
        )

    async def feedback(self, body: Feedback, request: Request) -> FeedbackAnswer:
        """Attach the right label to a prediction."""
        labels = self._served.loaded.model.labels
        if body.label not in labels:
            raise Refused(422, f"must be one of {', '.join(labels)}", field="label")
        await self._log.feedback(body.request_id, body.label, request.state.caller)
        return FeedbackAnswer(request_id=body.request_id, label=body.label)

    async def model_info(self) -> ModelInfo:
        """Which model answers, what it was trained with and how it scored."""
        loaded = self._served.loaded
        manifest = loaded.model.manifest
        return ModelInfo(
            kind=manifest.kind,
            device=loaded.device,
            labels=list(manifest.labels),
            model_version=loaded.version,
            dataset_version=loaded.dataset_version,
            trained_on=Origin(**loaded.trained_on.record()),
            warning=loaded.trained_on.warning,
            release_version=self._served.release_version,
            since=self._served.since,
            code_version=manifest.trained_with.code,
            metrics=dict(manifest.metrics),
            authentication="api key" if self._options.api_keys else "off",
            golden=len(loaded.golden),
        )

    async def overview(self) -> Response:
        """The content of /overview. It holds texts of reviews, so it needs a key if keys are on."""
        shown = await run_in_threadpool(overview.content, self._served, self._metrics, self._options.overview_file)
        return Response(shown, media_type="text/html; charset=utf-8")

    async def _answers(self, texts: Sequence[str], request: Request, *, counted: bool = True) -> list[Answer]:
        """As `ServedModel.answers`; raises `ClientDisconnect` if the client leaves, and its texts leave the queue."""
        asking = asyncio.ensure_future(self._served.answers(texts, request.state.client, counted=counted))
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ClientDisconnect
            return asking.result()
        finally:
            asking.cancel()
            leaving.cancel()

    def _record(self, request_id: str, answer: Answer, loaded: LoadedModel, request: Request) -> None:
        if request.state.probe:
            return
        self._log.add(
            Prediction(
                request_id=request_id,
                caller=request.state.caller,
                sentiment=answer.sentiment,
                confidence=answer.confidence,
                probabilities=answer.probabilities,
                characters=len(answer.text),
                text=answer.text if self._options.log_texts else None,
                model_version=loaded.version,
                dataset_version=loaded.dataset_version,
            )
        )


async def _left(request: Request) -> None:
    """After its body, a request has nothing more to receive until its client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refuse_unadmitted(request: Request) -> None:
    """The router also takes a path that ends in a line feed; Edge does not know that as a path that needs a key."""
    if not hasattr(request.state, "caller"):
        raise Refused(404, "there is nothing at this path")
