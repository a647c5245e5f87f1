"""In which form a body may come: JSON in UTF-8, not compressed. What else comes is refused by the header's name."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

from mlops_assets.serving.problems import Refused

JSON_PATHS = frozenset({"/predict", "/predict/batch", "/explain", "/feedback"})
"""Paths that take a body."""

_SEND = "send JSON in UTF-8 with the header Content-Type: application/json"
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


def require_json(scope: Scope) -> None:
    """Raise `Refused` for a body in another form. One without a Content-Type is taken as JSON.

    Not from a page of another origin, though: a browser asks the server first before it sends JSON there, and a body
    without a type would go round that.
    """
    if scope["method"] != "POST" or scope["path"] not in JSON_PATHS:
        return
    headers = Headers(scope=scope)
    encodings = [part.strip().lower() for part in headers.get("content-encoding", "").split(",") if part.strip()]
    if any(encoding != "identity" for encoding in encodings):
        detail = f"Content-Encoding {_shown(', '.join(encodings))} is not read: send the body as it is, uncompressed"
        raise Refused(415, detail, field="Content-Encoding", headers={"Accept-Encoding": "identity"})
    given = headers.get("content-type", "").strip()
    if not given:
        if "origin" in headers:
            raise _refused(f"the body has no Content-Type: {_SEND}")
        MutableHeaders(scope=scope)["content-type"] = "application/json"
        return
    kind, _, parameters = given.partition(";")
    main, _, sub = kind.strip().lower().partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        hint = " (curl -d sends form data unless it gets -H)" if sub == "x-www-form-urlencoded" else ""
        raise _refused(f"Content-Type {_shown(kind.strip())} is not read: {_SEND}{hint}")
    charset = _charset(parameters)
    if charset not in _CHARSETS:
        raise _refused(f"the charset {_shown(charset)} of Content-Type is not read: {_SEND}")


def _refused(detail: str) -> Refused:
    return Refused(415, detail, field="Content-Type", headers={"Accept": "application/json"})


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return "utf-8"


def _shown(value: str) -> str:
    """A header's value is the client's own: printable, and not too long."""
    return repr(value if len(value) <= 60 else f"{value[:59]}…")
