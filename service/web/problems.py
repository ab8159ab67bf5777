"""Errors to clients as problem+json (RFC 9457): what is wrong, where, with which value, and what would be right."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from proofrank.core.errors import nearest_names
from proofrank.service.ranking.schemas import fields_beside
from proofrank.service.web.rejections import Rejection, rejection_of

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
_SHOWN = 200


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="where, as in queries[3].relation")
    value: Any = Field(None, description="what stands there, shortened where it is long")
    message: str = Field(description="what is wrong and what would be right")
    nearest: list[str] = Field(
        default_factory=list, description="the nearest known names, for an unknown one"
    )


class ProblemBody(BaseModel):
    """The body of every error."""

    type: str = Field("about:blank", description="kind of problem")
    title: str = Field(description="what went wrong, in general")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what went wrong this time")
    errors: list[FieldError] = Field(
        default_factory=list, description="the first things wrong with the request"
    )
    request_id: str | None = Field(None, description="identifies the request in the server's log")


def problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the errors that a route answers with."""
    return {
        int(status): {"model": ProblemBody, "description": status.phrase, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


class Problem(Exception):
    """An answer with problem+json.

    Attributes:
        rejection: what the metrics count it as; what is usual for its status unless it is said.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        rejection: Rejection | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        self.rejection = rejection or rejection_of(status)


class ProblemResponse(JSONResponse):
    """JSON that may repeat whatever a client sent, half of a surrogate pair included."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """``content`` as JSON; what UTF-8 cannot hold is left as the escape that JSON has for it."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def invalid(errors: Sequence[FieldError], number: int | None = None) -> Problem:
    """A 422 for these errors, of which the first ``MAX_ERRORS`` are shown.

    Args:
        errors: at least one.
        number: how many there are, where these are only the first.
    """
    shown = list(errors[:MAX_ERRORS])
    number = len(errors) if number is None else number
    more = f" (and {number - 1} more)" if number > 1 else ""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{shown[0].field}: {shown[0].message}{more}", shown)


def response(problem: Problem, request_id: str | None) -> JSONResponse:
    """The HTTP answer for ``problem``."""
    body = ProblemBody(
        type="about:blank",
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        errors=problem.errors,
        request_id=request_id,
    )
    return ProblemResponse(body.model_dump(mode="json"), status_code=problem.status, headers=problem.headers)


def shortened(value: Any) -> Any:
    """``value`` if it is short as JSON, else the start of it as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    if isinstance(value, str):
        return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)[:_SHOWN]
    return value if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def install(app: FastAPI) -> None:
    """Makes ``app`` answer every error with problem+json."""

    def request_id(request: Request) -> str | None:
        return getattr(request.state, "request_id", None)

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        request.state.rejection = error.rejection
        return response(error, request_id(request))

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        model = _body_model(request)
        found = error.errors()
        shown = [_field_error(item, model) for item in found[:MAX_ERRORS]]
        return response(invalid(shown, len(found)), request_id(request))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        # FastAPI turns whatever stops it from reading a body into a 400 that does not say why.
        cause = error.__cause__
        if isinstance(cause, Problem):
            return await on_problem(request, cause)
        if isinstance(cause, ValueError | RecursionError):
            reason = "nested too deeply" if isinstance(cause, RecursionError) else str(cause)
            problem = invalid([FieldError(field="body", value=None, message=f"not JSON: {reason}")])
            return response(problem, request_id(request))
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        methods = _documented_methods(request)
        if status is HTTPStatus.METHOD_NOT_ALLOWED and methods:
            headers["Allow"] = ", ".join(methods)
        return response(Problem(status, str(error.detail), headers=headers), request_id(request))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _body_model(request: Request) -> type[BaseModel]:
    """What the body of this route is read as; an empty model where it has none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body is not None else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else BaseModel


def _field_error(item: dict[str, Any], model: type[BaseModel]) -> FieldError:
    """A pydantic error in our form."""
    location = [part for part in item["loc"] if part != "body"]
    field = ""
    for part in location:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    field = shortened(field)
    if item["type"] == "json_invalid":
        return FieldError(
            field="body", value=None, message=f"not JSON: {item.get('ctx', {}).get('error', item['msg'])}"
        )
    if isinstance(item.get("input"), bytes):
        return FieldError(
            field="body", value=None, message="expected JSON with Content-Type: application/json"
        )
    if item["type"] == "extra_forbidden":
        return FieldError(
            field=field,
            value=shortened(item.get("input")),
            message="no such field",
            nearest=nearest_names(str(location[-1])[:_SHOWN], fields_beside(location, model)),
        )
    message = item["msg"][:1].lower() + item["msg"][1:]
    return FieldError(field=field or "body", value=shortened(item.get("input")), message=message)


def _documented_methods(request: Request) -> list[str]:
    """The methods that the path of a request takes; the framework itself names those of the first route only."""
    path = getattr(request.scope.get("route"), "path", None)
    return [method.upper() for method in request.app.openapi()["paths"].get(path, ())]
