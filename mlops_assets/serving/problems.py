"""Refusals as problem documents (RFC 9457), which name the field and the rule and never echo the input."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

CLIENT_LEFT = 499
"""In metrics and log alone, as nginx counts a client that did not wait for its answer."""
MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None
    request_id: str | None = None


class Refused(Exception):
    """A request is refused with this status and a problem document."""

    def __init__(
        self, status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})


def document(status: int, detail: str, *, field: str | None = None, request_id: str | None = None) -> dict[str, Any]:
    """The document as JSON."""
    title = HTTPStatus(status).phrase
    return ProblemDocument(title=title, status=status, detail=detail, field=field, request_id=request_id).model_dump(
        exclude_none=True
    )


def response(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The document as a response."""
    return JSONResponse(
        document(status, detail, field=field, request_id=request_id),
        status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI."""
    schema = ProblemDocument.model_json_schema()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)  # noqa: S101  # Starlette dispatches by type; this tells the type checker
        return response(error.status, error.detail, field=error.field, request_id=_id(request), headers=error.headers)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # as above
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return response(400, "the body is not JSON", field="body", request_id=_id(request))
        field = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return response(422, str(first["msg"]), field=field, request_id=_id(request))

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # as above
        if isinstance(error.__cause__, ClientDisconnect):  # as FastAPI reports a client that left within its body
            return Response(status_code=CLIENT_LEFT)
        if isinstance(error.__cause__, UnicodeDecodeError):
            return response(400, _undecodable(error.__cause__), field="body", request_id=_id(request))
        return response(
            error.status_code, str(error.detail), request_id=_id(request), headers=getattr(error, "headers", None)
        )

    def left(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_LEFT)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _undecodable(error: UnicodeDecodeError) -> str:
    if error.object.startswith(b"\x1f\x8b"):
        return "the body is compressed (gzip): send the JSON as it is, uncompressed"
    return f"the body is not in UTF-8 (byte {error.start + 1}): send JSON in UTF-8"


def _id(request: Request) -> str | None:
    return request.scope.get("state", {}).get("request_id")
