"""The files of the web pages: `/` classifies reviews, `/docs` describes the API, `/overview` shows the state.

They are read once, and the pages load nothing from other hosts.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response

_FOLDER = Path(__file__).parent / "files"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/overview": ("overview.html", "text/html; charset=utf-8"),
    "/overview.css": ("overview.css", "text/css; charset=utf-8"),
    "/overview.js": ("overview.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def add_routes(app: FastAPI) -> None:
    """Serve the pages and what they need."""
    for path, (name, media_type) in _FILES.items():
        app.add_route(path, _answering((_FOLDER / name).read_bytes(), media_type), ["GET"], include_in_schema=False)


def _answering(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def file(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return file
