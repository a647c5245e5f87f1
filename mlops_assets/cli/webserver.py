"""Dagster's webserver behind a guard: `python -m mlops_assets.cli.webserver`, with the options of dagster-webserver.

With `dev` as its first argument it is `dagster dev`, which starts this webserver beside the daemon.

Dagster's own webserver obeys any page in the browser of a person who can reach it: it takes mutations by GET and asks
neither for the name that it was called by nor for the page that asks.
"""

import sys
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.automation.dagster_internals import run_dev
from mlops_assets.serving.options import is_loopback
from mlops_assets.settings import Settings

LOADS_NOTHING_ELSEWHERE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; img-src 'self' data: blob:; frame-ancestors 'self'"
)
"""Beside Dagster's own policy, which says nothing about images and frames: a browser obeys both."""
_NOT_SIMPLE = {"application/json", "application/graphql"}
"""Content types that a browser sends to another site only after asking it, which Dagster's webserver never allows."""


class Guard:
    """Refuses what a browser sends on behalf of another site's page.

    urls: the addresses that people and the pipeline open; only their host names and loopback names are answered, since
    a page can give its own name to this machine's address (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, urls: Collection[str]) -> None:
        self._app = app
        self._locations = {urlsplit(url).netloc.lower() for url in urls}
        self._names = {urlsplit(url).hostname for url in urls}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on; `lifespan` passes."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Content-Security-Policy", LOADS_NOTHING_ELSEWHERE)
            await send(message)

        if scope["type"] in {"http", "websocket"} and (refused := self._refusal(scope)):
            status, reason = refused
            await PlainTextResponse(f"{reason}\n", status)(scope, receive, send)
            return
        await self._app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason."""
        headers = Headers(scope=scope)
        [host, *more] = headers.getlist("host") or [""]
        name = _location(f"//{host}").hostname or ""
        if more or not (name in self._names or is_loopback(name)):
            return 403, (
                f"This UI does not answer as {host!r}: open it at {sorted(self._locations)[0]}, "
                "or set DAGSTER_URL to the address that people open"
            )
        for origin in headers.getlist("origin"):
            if _location(origin).netloc.lower() not in {host.lower(), *self._locations}:
                return 403, f"A page of {origin!r} may not use this UI: open the UI itself"
        elsewhere = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if elsewhere and headers.get("sec-fetch-mode") != "navigate":
            return 403, "A page of another site may not use this UI: open the UI itself"
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/graphql"):
            return _misasked(scope, headers)
        return None


def _misasked(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Why GraphQL is not asked like this. A GET without a query passes: it shows a page for writing queries."""
    if scope["method"] != "POST" and scope["query_string"]:
        return 405, "Ask GraphQL by POST: any image or link can make a browser send a GET"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] == "POST" and kind not in _NOT_SIMPLE:
        return 415, f"Ask GraphQL with Content-Type application/json, got {kind!r}"
    return None


def _location(url: str) -> Any:
    """The parts of an address; those of no address if it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def main() -> None:
    """Become `dagster-webserver`, or with `dev` `dagster dev`."""
    if sys.argv[1:2] == ["dev"]:
        run_dev(sys.argv[2:], webserver="mlops_assets.cli.webserver")
    # Imported here: `dagster dev` does not need it.
    from dagster_webserver import cli as module

    cli: Any = module
    settings = Settings.load()
    create = cli.create_app_from_workspace_process_context

    def create_guarded(*arguments: Any, **options: Any) -> Guard:
        return Guard(create(*arguments, **options), (settings.dagster_url, settings.reload_url))

    cli.create_app_from_workspace_process_context = create_guarded
    cli.main()


if __name__ == "__main__":
    main()
