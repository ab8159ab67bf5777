"""Errors to clients as problem+json (RFC 9457): what is wrong, where, with which value, and what would be right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException

from proofrank.service.errors import (
    BodiesFull,
    DeadlinePassed,
    Draining,
    EmbeddingReplaced,
    EvaluationFailed,
    InvalidInput,
    JobNotDone,
    MissingFeature,
    NoSuchJob,
    NoSuchPolicy,
    NoSuchRun,
    NotReady,
    PolicyConflict,
    QueueFull,
    TryLater,
    UploadAborted,
    UploadStalled,
    UploadTooLarge,
)
from proofrank.service.storage.data_folder import DataFolderFullError
from proofrank.service.telemetry.rejections import Rejection
from proofrank.service.wire import MAX_ERRORS, FieldError, ProblemBody, field_error

MEDIA_TYPE = "application/problem+json"
_PROBLEM = TypeAdapter(ProblemBody)


_MEANINGS = {
    HTTPStatus.UNAUTHORIZED: "The request has no key, or one that this server does not know.",
    HTTPStatus.FORBIDDEN: "The key lacks the right that `detail` names.",
    HTTPStatus.NOT_FOUND: "There is no policy, job or run of this name; a job may have been removed.",
    HTTPStatus.REQUEST_TIMEOUT: "No data of the upload has arrived for a minute.",
    HTTPStatus.CONFLICT: "The state of the stored policies or jobs does not allow it; `detail` says why.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body, or a part of it, is larger than the server takes.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body has a `Content-Encoding`; send it as it is.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is wrong; `errors` names the fields.",
    HTTPStatus.TOO_MANY_REQUESTS: "The server has as much work as it takes, or the client sends too many requests.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The evaluator failed; the server's log has the reason.",
    HTTPStatus.NOT_IMPLEMENTED: "The server lacks the library that writes Parquet.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server is not ready, is stopping, or has too many connections.",
    HTTPStatus.GATEWAY_TIMEOUT: "The deadline has passed.",
    HTTPStatus.INSUFFICIENT_STORAGE: "The data folder has no room; nothing was stored.",
}
"""Descriptions of the errors, in the OpenAPI document."""

_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Returns OpenAPI's description of the errors that a route answers with.

    :func:`~proofrank.service.web.openapi.complete` adds the schemas that it refers to.
    """
    return {int(status): problem_response(status) for status in statuses}


def problem_response(status: HTTPStatus) -> dict[str, Any]:
    """Returns OpenAPI's description of one error."""
    described: dict[str, Any] = {
        "description": _MEANINGS.get(status, status.phrase),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    }
    if status in _RETRIED:
        seconds = {"type": "integer", "minimum": 0, "examples": [1]}
        described["headers"] = {
            "Retry-After": {
                "description": "Seconds after which to send the request again.",
                "schema": seconds,
            }
        }
    return described


_REJECTIONS = {
    HTTPStatus.BAD_REQUEST: Rejection.INVALID,
    HTTPStatus.UNAUTHORIZED: Rejection.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: Rejection.UNAUTHORIZED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Rejection.TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Rejection.INVALID,
    HTTPStatus.UNPROCESSABLE_ENTITY: Rejection.INVALID,
    HTTPStatus.TOO_MANY_REQUESTS: Rejection.RATE_LIMITED,
    HTTPStatus.SERVICE_UNAVAILABLE: Rejection.NOT_READY,
    HTTPStatus.GATEWAY_TIMEOUT: Rejection.DEADLINE,
}


def rejection_of(status: int) -> Rejection | None:
    """What a problem with this status is most likely about; None where that is no refusal."""
    return _REJECTIONS.get(HTTPStatus(status))


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


_ANSWERS: dict[type[Exception], tuple[HTTPStatus, Rejection | None]] = {
    NotReady: (HTTPStatus.SERVICE_UNAVAILABLE, Rejection.NOT_READY),
    Draining: (HTTPStatus.SERVICE_UNAVAILABLE, Rejection.DRAINING),
    QueueFull: (HTTPStatus.TOO_MANY_REQUESTS, Rejection.QUEUE_FULL),
    BodiesFull: (HTTPStatus.TOO_MANY_REQUESTS, Rejection.BODIES_FULL),
    InvalidInput: (HTTPStatus.UNPROCESSABLE_ENTITY, Rejection.INVALID),
    UploadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Rejection.TOO_LARGE),
    UploadStalled: (HTTPStatus.REQUEST_TIMEOUT, None),
    UploadAborted: (HTTPStatus.BAD_REQUEST, Rejection.INVALID),
    NoSuchPolicy: (HTTPStatus.NOT_FOUND, None),
    NoSuchJob: (HTTPStatus.NOT_FOUND, None),
    NoSuchRun: (HTTPStatus.NOT_FOUND, None),
    PolicyConflict: (HTTPStatus.CONFLICT, None),
    EmbeddingReplaced: (HTTPStatus.CONFLICT, None),
    JobNotDone: (HTTPStatus.CONFLICT, None),
    DeadlinePassed: (HTTPStatus.GATEWAY_TIMEOUT, Rejection.DEADLINE),
    EvaluationFailed: (HTTPStatus.INTERNAL_SERVER_ERROR, None),
    MissingFeature: (HTTPStatus.NOT_IMPLEMENTED, None),
    DataFolderFullError: (HTTPStatus.INSUFFICIENT_STORAGE, None),
}
"""Status and rejection of each error of the domain, and of those that derive from it."""

ANSWERED_ERRORS = tuple(_ANSWERS)


class ProblemResponse(JSONResponse):
    """JSON that may repeat whatever a client sent, half of a surrogate pair included."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """``content`` as JSON; what UTF-8 cannot hold is left as the escape that JSON has for it."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def problem_of(error: Exception) -> Problem:
    """The answer to an error of the domain, by the one table there is.

    Raises:
        TypeError: the table has no class of ``error``.
    """
    kind = next((kind for kind in type(error).__mro__ if kind in _ANSWERS), None)
    if kind is None:
        raise TypeError(f"{type(error).__name__} is no error that a client is told")
    status, rejection = _ANSWERS[kind]
    headers = {"Retry-After": str(error.retry_seconds)} if isinstance(error, TryLater) else None
    errors = error.errors if isinstance(error, InvalidInput) else ()
    return Problem(status, str(error), errors, headers=headers, rejection=rejection)


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
    return ProblemResponse(
        _PROBLEM.dump_python(body, mode="json"), status_code=problem.status, headers=problem.headers
    )


def install(app: FastAPI) -> None:
    """Makes ``app`` answer every error with problem+json."""

    def request_id(request: Request) -> str | None:
        return getattr(request.state, "request_id", None)

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        request.state.rejection = error.rejection
        return response(error, request_id(request))

    async def on_domain_error(request: Request, error: Exception) -> JSONResponse:
        return await on_problem(request, problem_of(error))

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        model = _body_model(request)
        found = error.errors()
        shown = [_field_error(item, model) for item in found[:MAX_ERRORS]]
        return response(problem_of(InvalidInput(shown, len(found))), request_id(request))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        # FastAPI turns whatever stops it from reading a body into a 400 that does not say why.
        cause = error.__cause__
        if isinstance(cause, Problem):
            return await on_problem(request, cause)
        if isinstance(cause, ANSWERED_ERRORS):
            return await on_domain_error(request, cause)
        if isinstance(cause, ValueError | RecursionError):
            reason = "nested too deeply" if isinstance(cause, RecursionError) else str(cause)
            wrong = InvalidInput([FieldError(field="body", value=None, message=f"not JSON: {reason}")])
            return response(problem_of(wrong), request_id(request))
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        methods = _documented_methods(request)
        if status is HTTPStatus.METHOD_NOT_ALLOWED and methods:
            headers["Allow"] = ", ".join(methods)
        return response(Problem(status, str(error.detail), headers=headers), request_id(request))

    app.add_exception_handler(Problem, on_problem)
    for kind in ANSWERED_ERRORS:
        app.add_exception_handler(kind, on_domain_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _body_model(request: Request) -> type[BaseModel]:
    """What the body of this route is read as; an empty model where it has none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body is not None else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else BaseModel


def _field_error(item: dict[str, Any], model: type[BaseModel]) -> FieldError:
    """A pydantic error in our form."""
    if item["type"] == "json_invalid":
        return FieldError(
            field="body", value=None, message=f"not JSON: {item.get('ctx', {}).get('error', item['msg'])}"
        )
    if isinstance(item.get("input"), bytes):
        return FieldError(
            field="body", value=None, message="expected JSON with Content-Type: application/json"
        )
    return field_error(item, model)


def _documented_methods(request: Request) -> list[str]:
    """The methods that the path of a request takes; the framework itself names those of the first route only."""
    path = getattr(request.scope.get("route"), "path", None)
    methods = [method.upper() for method in request.app.openapi()["paths"].get(path, ())]
    return [*methods, "HEAD"] if "GET" in methods else methods
