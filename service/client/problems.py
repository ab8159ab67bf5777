"""An answer of error, problem+json or not, as the error of the client that it means."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx
from pydantic import ValidationError

from proofrank.service.client.errors import (
    AccessError,
    AnswerError,
    ConflictError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    UnavailableError,
)
from proofrank.service.wire import FieldError, answer_from_python

_PROBLEM = "application/problem+json"
_PLAIN = "text/plain"
_SHOWN = 200

_CLASSES: dict[int, type[AnswerError]] = {
    HTTPStatus.UNAUTHORIZED: AccessError,
    HTTPStatus.FORBIDDEN: AccessError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_TIMEOUT: UnavailableError,
    HTTPStatus.TOO_MANY_REQUESTS: UnavailableError,
    HTTPStatus.BAD_GATEWAY: UnavailableError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: UnavailableError,
}


def answer_error(response: httpx.Response) -> AnswerError:
    """The error that ``response``, which is no success, means."""
    problem = _problem(response)
    request_id = problem.get("request_id") or response.headers.get("X-Request-ID")
    kind = _class_of(response, is_problem=bool(problem))
    return kind(
        response.status_code,
        _detail(response, problem),
        _field_errors(problem),
        request_id if isinstance(request_id, str) else None,
    )


def _class_of(response: httpx.Response, is_problem: bool) -> type[AnswerError]:
    if response.status_code == HTTPStatus.GATEWAY_TIMEOUT and is_problem:
        return DeadlineError  # a gateway that lost the server does not answer with problem+json
    other = ServerError if response.is_server_error else InvalidRequestError
    return _CLASSES.get(response.status_code, other)


def _detail(response: httpx.Response, problem: dict[str, Any]) -> str:
    detail = problem.get("detail")
    # A detail that only repeats the status does not say what was asked for.
    if isinstance(detail, str) and detail != response.reason_phrase:
        return detail
    request = response.request
    what = f"{request.method} {request.url}: the answer is {response.status_code} {response.reason_phrase}"
    text = response.text.strip()[:_SHOWN] if _media_type(response) == _PLAIN else ""
    return f"{what}: {text}" if text else what


def _field_errors(problem: dict[str, Any]) -> tuple[FieldError, ...]:
    try:
        return answer_from_python(tuple[FieldError, ...], problem.get("errors", []))
    except ValidationError:
        return ()  # the detail is worth more than this


def _problem(response: httpx.Response) -> dict[str, Any]:
    if _media_type(response) != _PROBLEM:
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _media_type(response: httpx.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
