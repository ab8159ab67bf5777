"""Deadlines of requests that rank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request

from proofrank.core.errors import EvaluationError, MemoryShortError
from proofrank.service.errors import DeadlinePassed, EvaluationFailed, NotReady
from proofrank.service.web.client_disconnect import unless_client_goes

ERRORS_OF_RANKING = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Errors that every request that ranks may be answered with."""

_MOST_SECONDS_LATE = 0.5
"""Extra time after a deadline within which its error is sent, in seconds."""

_SECONDS_UNTIL_MEMORY = 10
"""Time after which it is worth asking again for an evaluator for which there was no memory, in seconds."""

T = TypeVar("T")


def deadline_of(deadline_ms: int | None, max_deadline_ms: int) -> float:
    """The latest end by ``time.monotonic()`` of a request that begins now and asks for ``deadline_ms``, if anything."""
    return time.monotonic() + min(deadline_ms or max_deadline_ms, max_deadline_ms) / 1000


async def by_deadline(request: Request, deadline: float, evaluation: Coroutine[Any, Any, T]) -> T:
    """What ``evaluation`` gives, which ends with the deadline, or once the client is gone.

    Raises:
        DeadlinePassed: the deadline has passed.
        EvaluationFailed: a candidate cannot be evaluated.
        NotReady: there is no memory for the evaluator that the request needs.
    """
    try:
        # All of it: what waits for a thread for a client that has gone keeps the threads from those that are there.
        # The scheduler sees to the deadline as well, and knows more; but it may be busy, or not be asked yet.
        async with asyncio.timeout(deadline - time.monotonic() + _MOST_SECONDS_LATE):
            return await unless_client_goes(request, evaluation)
    except TimeoutError as error:
        raise DeadlinePassed("the deadline has passed") from error
    except MemoryShortError as error:
        raise NotReady(f"no evaluator for this request: {error}", _SECONDS_UNTIL_MEMORY) from error
    except EvaluationError as error:
        raise EvaluationFailed(f"evaluation failed: {error}") from error
