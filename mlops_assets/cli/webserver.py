"""Dagster's webserver behind a guard: `python -m mlops_assets.cli.webserver`, with the options of dagster-webserver.

With `dev` as its first argument it is `dagster dev`, which starts this webserver beside the daemon.

Dagster's own webserver obeys any page in the browser of a person who can reach it: it takes mutations by GET and asks
neither for the name that it was called by nor for the page that asks.
"""

import sys
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.automation.dagster_internals import run_dev, tag_launches
from mlops_assets.automation.why import STARTED_BY
from mlops_assets.cli.guard import NAME_FROM_THE_DOOR, Guard, Refusal
from mlops_assets.deploy.approval import user_of_machine
from mlops_assets.settings import Settings

LOADS_NOTHING_ELSEWHERE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; img-src 'self' data: blob:; frame-ancestors 'self'"
)
"""Beside Dagster's own policy, which says nothing about images and frames: a browser obeys both."""
_NOT_SIMPLE = {"application/json", "application/graphql"}
"""Content types that a browser sends to another site only after asking it, which Dagster's webserver never allows."""


def _misasked(scope: Scope, headers: Headers) -> Refusal | None:
    """Why GraphQL is not asked like this. A GET without a query passes: it shows a page for writing queries."""
    if scope["type"] != "http" or not scope["path"].rstrip("/").endswith("/graphql"):
        return None
    if scope["method"] != "POST" and scope["query_string"]:
        return 405, "Ask GraphQL by POST: any image or link can make a browser send a GET"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] == "POST" and kind not in _NOT_SIMPLE:
        return 415, f"Ask GraphQL with Content-Type application/json, got {kind!r}"
    return None


def dagster_guard(app: ASGIApp, urls: Collection[str]) -> Guard:
    """The webserver behind its guard; `urls` are the addresses that people and the pipeline open."""
    hint = "set DAGSTER_URL to the address that people open"
    return Guard(app, urls, policy=LOADS_NOTHING_ELSEWHERE, hint=hint, further=_misasked)


class NamesWhoLaunches:
    """Runs and backfills that are launched here get the tag `started_by`.

    door: whether the team server's door says who asks; without it that is who runs this process
    """

    def __init__(self, create: Callable[..., ASGIApp], *, door: bool) -> None:
        """`create` makes the webserver of a workspace."""
        self._create, self._door = create, door
        self._asking: ContextVar[str] = ContextVar("asking", default="" if door else user_of_machine())

    def __call__(self, workspace: Any, *arguments: Any, **options: Any) -> ASGIApp:
        """The webserver."""
        tag_launches(workspace.instance, self._tags)
        app = self._create(workspace, *arguments, **options)

        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            if self._door and scope["type"] in {"http", "websocket"}:
                self._asking.set(Headers(scope=scope).get(NAME_FROM_THE_DOOR, ""))
            await app(scope, receive, send)

        return named

    def _tags(self) -> dict[str, str]:
        asking = self._asking.get()
        return {STARTED_BY: asking} if asking else {}


def main() -> None:
    """Become `dagster-webserver`, or with `dev` `dagster dev`."""
    if sys.argv[1:2] == ["dev"]:
        run_dev(sys.argv[2:], webserver="mlops_assets.cli.webserver")
    # Imported here: `dagster dev` does not need it.
    from dagster_webserver import cli as module

    cli: Any = module
    settings = Settings.load()
    create = NamesWhoLaunches(cli.create_app_from_workspace_process_context, door=settings.shared_instance)

    def create_guarded(*arguments: Any, **options: Any) -> Guard:
        return dagster_guard(create(*arguments, **options), (settings.dagster_url, settings.reload_url))

    cli.create_app_from_workspace_process_context = create_guarded
    cli.main()


if __name__ == "__main__":
    main()
