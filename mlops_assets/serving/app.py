"""The FastAPI app: all routes, with their documentation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from mlops_assets.serving import problems
from mlops_assets.serving.access import Access
from mlops_assets.serving.bodies import Health, Live
from mlops_assets.serving.edge import Draining, Edge
from mlops_assets.serving.log.prediction_log import open_log
from mlops_assets.serving.log.request_log import RequestLine, RequestLog
from mlops_assets.serving.metrics import CONTENT_TYPE, Metrics
from mlops_assets.serving.models.model import LoadedModel
from mlops_assets.serving.options import ServerOptions
from mlops_assets.serving.pages import static_files
from mlops_assets.serving.prediction_routes import PredictionRoutes
from mlops_assets.serving.served_model import ServedModel

PATHS = (
    "/",
    "/docs",
    "/docs.js",
    "/explain",
    "/feedback",
    "/health",
    "/live",
    "/metrics",
    "/model/info",
    "/openapi.json",
    "/overview",
    "/overview.css",
    "/overview.js",
    "/overview/content",
    "/page.css",
    "/page.js",
    "/predict",
    "/predict/batch",
    "/ready",
)
"""Paths with counters of their own; every other path is counted as `other`."""
_POLLED = frozenset({"/live", "/ready", "/health", "/metrics"})
"""Paths that programs ask every few seconds. They have counters, and no lines in the request log."""

_OPEN = problems.documented(405, 413)


def create_app(
    load: Callable[[], LoadedModel],
    *,
    options: ServerOptions | None = None,
    release_version: str = "",
    draining: Draining | None = None,
    requests_to: Callable[[bytes], None] | None = None,
) -> FastAPI:
    """The app around one model; `load` is called once, in a thread, when the server starts.

    `requests_to` writes the lines of the request log; without it there is none.
    """
    options = options or ServerOptions()
    metrics = Metrics(options.last_success_file, options.overview_file)
    served = ServedModel(load, options, metrics, release_version)
    access = Access(options.api_keys, options.rate_limit_per_s, options.rate_limit_burst)
    log = open_log(options.prediction_log, on_drop=metrics.log_dropped.inc, spool=options.spool_file)
    request_log = RequestLog(requests_to, metrics.request_log_dropped.inc) if requests_to else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        served.start()
        yield
        await served.stop()
        log.close()
        if request_log is not None:
            request_log.close()

    def record(line: RequestLine) -> None:
        metrics.count(line.path, line.method, line.status, line.ms / 1000)
        if request_log is not None and line.path not in _POLLED:
            request_log.add(line)

    app = FastAPI(
        title="App review sentiment",
        version=release_version or "0",
        description="Says whether an app review is positive or negative. Errors are problem documents (RFC 9457).",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads Swagger UI from elsewhere; ours is in pages/
        redoc_url=None,
    )
    app.state.metrics = metrics
    problems.install(app)
    _add_status_routes(app, served, metrics)
    predicting = PredictionRoutes(served, options, log, access, metrics).router()
    app.include_router(predicting)
    static_files.add_routes(app)
    app.add_middleware(
        Edge,
        options=options,
        record=record,
        draining=draining or Draining(),
        access=access,
        refuse_when_full=served.refuse_when_full,
        paths=PATHS,
        keyed_paths=[route.path for route in predicting.routes if isinstance(route, APIRoute)],
    )
    return app


def _add_status_routes(app: FastAPI, served: ServedModel, metrics: Metrics) -> None:
    @app.get("/live", responses=_OPEN)
    async def live() -> Live:
        """The process runs and its event loop responds."""
        return Live(status="live")

    async def health() -> JSONResponse:
        """200 if the golden sentences were answered correctly, else 503 with the reason."""
        loaded = served.loaded if served.state == "ready" else None
        answer = Health(
            status=served.state,
            reason=served.reason,
            model_version=loaded.version if loaded else None,
            dataset_version=loaded.dataset_version if loaded else None,
            release_version=served.release_version,
            since=served.since,
        )
        return JSONResponse(answer.model_dump(mode="json"), 200 if loaded else 503)

    not_ready: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready", "model": Health}}
    for path in ("/health", "/ready"):
        app.get(path, response_model=Health, responses={**_OPEN, **not_ready})(health)

    @app.get("/metrics", responses={**_OPEN, 200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def exposition() -> Response:
        """Prometheus's text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)
