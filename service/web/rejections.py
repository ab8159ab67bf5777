"""Why requests are refused: the values of the label ``reason``, and which status says which where nobody says more."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus


class Rejection(StrEnum):
    """A reason to refuse a request."""

    QUEUE_FULL = "queue_full"
    BODIES_FULL = "bodies_full"
    CONNECTIONS_FULL = "connections_full"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"


_BY_STATUS = {
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
    return _BY_STATUS.get(HTTPStatus(status))
