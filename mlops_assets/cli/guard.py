"""What protects a page on this machine from pages of other sites that its reader has open."""

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.serving.options import is_loopback

NAME_FROM_THE_DOOR = "x-door-user"
"""The header in which the team server's door tells who is logged in."""
Refusal = tuple[int, str]
"""Status and reason."""


class Guard:
    """Refuses what a browser sends on behalf of another site's page.

    urls: the addresses that people and the pipeline open; only their host names and loopback names are answered, since
    a page can give its own name to this machine's address (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        urls: Collection[str],
        *,
        policy: str,
        hint: str,
        further: Callable[[Scope, Headers], Refusal | None],
    ) -> None:
        """`policy`: a Content-Security-Policy beside the app's own; `hint`: how to make another address known;
        `further`: a last look at a request.
        """
        self._app, self._policy, self._hint, self._further = app, policy, hint, further
        self._locations = {urlsplit(url).netloc.lower() for url in urls}
        self._names = {urlsplit(url).hostname for url in urls}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on; `lifespan` passes."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Content-Security-Policy", self._policy)
            await send(message)

        if scope["type"] in {"http", "websocket"} and (refused := self._refusal(scope)):
            status, reason = refused
            await PlainTextResponse(f"{reason}\n", status)(scope, receive, send)
            return
        await self._app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope) -> Refusal | None:
        """Status and reason."""
        headers = Headers(scope=scope)
        [host, *more] = headers.getlist("host") or [""]
        name = _location(f"//{host}").hostname or ""
        if more or not (name in self._names or is_loopback(name)):
            return 403, (
                f"This UI does not answer as {host!r}: open it at {sorted(self._locations)[0]}, or {self._hint}"
            )
        for origin in headers.getlist("origin"):
            if _location(origin).netloc.lower() not in {host.lower(), *self._locations}:
                return 403, f"A page of {origin!r} may not use this UI: open the UI itself"
        elsewhere = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if elsewhere and headers.get("sec-fetch-mode") != "navigate":
            return 403, "A page of another site may not use this UI: open the UI itself"
        return self._further(scope, headers)


def _location(url: str) -> Any:
    """The parts of an address; those of no address if it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
