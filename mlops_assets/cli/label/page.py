"""The page on which people label reviews. Each answer is on disk before the next text is shown.

It shows neither the stars nor what the models say: a label must come from the text alone.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from mlops_assets.cli.guard import NAME_FROM_THE_DOOR, Guard, Refusal
from mlops_assets.deploy.approval import NotDecided
from mlops_assets.failures import Failure
from mlops_assets.reviews.labels.queue import Queue, Waiting
from mlops_assets.reviews.labels.table import ANSWERS, Answer, BadLabel, LabelTable, person

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FILES = Path(__file__).parent / "files"
_MOST_BYTES = 4096
_ANSWERS: dict[str, Answer] = {each: each for each in ANSWERS}
Work = Callable[[dict[str, Any], str], dict[str, Any]]
"""What a route does with a request's JSON and the name of the person."""
_WHY = {
    "drawn": "drawn at random, for the score by people",
    "doubtful": "the label of this text is doubtful",
    "differ": "the models differ",
    "contradict": "the stars contradict the models",
    "unsure": "the model is unsure",
    "second": "labelled by another person, to see how far people agree",
}


@dataclass(frozen=True)
class LabelPage:
    """The page's routes.

    `queue` gives None until there is one. `named_by_door`: the door gives a person's name, not the page.
    """

    queue: Callable[[], Queue | None]
    table: LabelTable
    now: Callable[[], datetime]
    named_by_door: bool = False

    def app(self, prefix: str = "", further: Sequence[Route] = ()) -> Starlette:
        """The page under the path `prefix`, and the `further` routes of another page."""
        return Starlette(
            routes=[
                Route(f"{prefix}/", page_file("index.html")),
                *(Route(f"{prefix}/{name}", page_file(name)) for name in ("page.css", "page.js", "ask.js")),
                *(
                    Route(f"{prefix}/{name}", answered(self._named(work), door=self.named_by_door), methods=["POST"])
                    for name, work in (("state", self._state), ("label", self._label), ("undo", self._undo))
                ),
                *further,
            ]
        )

    @staticmethod
    def _named(work: Work) -> Work:
        return lambda body, by: work(body, person(by))

    def _state(self, _: dict[str, Any], by: str) -> dict[str, Any]:
        if (queue := self.queue()) is None:
            return {"preparing": True, "named": self.named_by_door}
        return self._shown(queue, queue.next(self.table.given(), by), by)

    def _label(self, body: dict[str, Any], by: str) -> dict[str, Any]:
        waiting, wanted = self._find(str(body.get("text"))), body.get("answer")
        answer = _ANSWERS.get(str(wanted))
        if waiting is None:
            raise BadLabel("this text is not in the queue: load the page again")
        if answer is None:
            raise BadLabel(f"a label must be one of {', '.join(ANSWERS)}, got {wanted!r}")
        self.table.add(waiting.text, answer, by, now=self.now())
        return self._state(body, by)

    def _undo(self, _: dict[str, Any], by: str) -> dict[str, Any]:
        """Take back this person's last answer of the page, and ask again."""
        last = {(each.text, each.by): each for each in self.table.given() if each.how == "page"}
        mine = (each for each in last.values() if each.by == by and each.answer is not None)
        newest_first = sorted(mine, key=lambda each: each.at, reverse=True)
        waiting, queue = next(filter(None, (self._find(each.text) for each in newest_first)), None), self.queue()
        if waiting is None or queue is None:
            raise BadLabel("there is nothing to take back")
        self.table.add(waiting.text, None, by, now=self.now())
        return self._shown(queue, waiting, by)

    def _find(self, text: str) -> Waiting | None:
        queue = self.queue()
        return queue.find(text) if queue else None

    def _shown(self, queue: Queue, waiting: Waiting | None, by: str) -> dict[str, Any]:
        progress = queue.progress(self.table.given(), by)
        return {
            "by": by,
            "named": self.named_by_door,
            "mine": progress.mine,
            "scoring": progress.scoring,
            "wanted": progress.wanted,
            "progress": str(progress),
            "waiting": None
            if waiting is None
            else {
                "text": waiting.text,
                "review": waiting.review_text,
                "about": f"{waiting.app_id}, {waiting.written}",
                "why": _WHY[waiting.why],
            },
        }


def answered(work: Work, *, door: bool) -> Callable[[Request], Awaitable[Response]]:
    """A route that answers JSON with JSON; `door` says who names the person, the door or the page."""

    async def answer(request: Request) -> Response:
        try:
            body = await _body(request)
            by = request.headers.get(NAME_FROM_THE_DOOR, "") if door else str(body.get("by", ""))
            found = await to_thread.run_sync(work, body, by)
        except Failure as failure:
            status = 400 if isinstance(failure, BadLabel | NotDecided) else 500
            return JSONResponse({"error": str(failure)}, status, headers={"Cache-Control": "no-store"})
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    return answer


def guarded(app: ASGIApp, url: str, hint: str) -> Guard:
    """The page behind the guard that a browser's other pages meet; `url` is where it is opened."""
    return Guard(app, [url], policy=POLICY, hint=hint, further=_misasked)


def _misasked(scope: Scope, headers: Headers) -> Refusal | None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["type"] == "http" and scope["method"] == "POST" and kind != "application/json":
        return 415, f"Send application/json, got {kind!r}"
    return None


async def _body(request: Request) -> dict[str, Any]:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BYTES:
            raise BadLabel(f"an answer has at most {_MOST_BYTES} bytes")
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadLabel("an answer is a JSON object")
    return body


def page_file(name: str) -> Callable[[Request], Awaitable[Response]]:
    """A route that answers with a file of the pages."""
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    async def answer(_: Request) -> Response:
        return FileResponse(_FILES / name, headers=headers)

    return answer
