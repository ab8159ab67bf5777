"""One request and its answer, sent again where that can help; the caller does the sending and the waiting.

The functions are generators: they yield a :class:`Call` to be sent, and are sent the response or the error that came of
it, or a :class:`Pause` to be waited; what they return is the answer.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Generator, Iterator
from http import HTTPStatus
from typing import NamedTuple, TypeAlias, TypeVar

import httpx
from pydantic import ValidationError

from proofrank.service.client.connection import Connection
from proofrank.service.client.errors import (
    ClientError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from proofrank.service.client.problems import answer_error
from proofrank.service.client.requests import Call
from proofrank.service.client.retries import retry_after_seconds
from proofrank.service.wire import first_error_of_answer, read_answer

logger = logging.getLogger("proofrank.client")

T = TypeVar("T")


class Pause(NamedTuple):
    """Seconds to wait."""

    seconds: float


Reply: TypeAlias = httpx.Response | httpx.RequestError
Steps: TypeAlias = Generator[Call | Pause, Reply | None, T]
"""What to do, step by step, and what comes of it."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_BROKEN_OFF = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.WriteTimeout)

_REFUSED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""Answers that say that nothing was done; a gateway's leave that open."""


class Failure(NamedTuple):
    """An attempt that brought no answer, or an error."""

    error: ClientError
    can_pass: bool
    """Whether the same request may succeed later, and may be sent again."""
    retry_after: float | None = None


def exchange(connection: Connection, call: Call) -> Steps[httpx.Response]:
    """The response to ``call``, tried again as ``connection.retries`` has it.

    Raises:
        ClientError: the last attempt brought no answer, or an error.
    """
    retries = connection.retries
    began = time.monotonic()
    num_failed = 0
    while True:
        reply = yield call
        failure = failure_of(connection, call, reply)
        if failure is None:
            assert isinstance(reply, httpx.Response)
            return reply
        num_failed += 1
        pause = retries.pause(num_failed, failure.retry_after)
        if not failure.can_pass or time.monotonic() - began + pause > retries.total_seconds:
            raise failure.error
        logger.warning("%s; trying again in %.1f s", failure.error, pause)
        yield Pause(pause)


def failure_of(connection: Connection, call: Call, reply: Reply | None) -> Failure | None:
    """What is wrong with what came of ``call``; None for an answer of success."""
    if isinstance(reply, httpx.Response):
        if reply.is_success:
            return None
        error = answer_error(reply)
        can_pass = isinstance(error, UnavailableError) and (
            call.is_repeatable or reply.status_code in _REFUSED
        )
        return Failure(error, can_pass, retry_after_seconds(reply.headers))
    assert reply is not None
    reason = str(reply) or type(reply).__name__
    return Failure(UnreachableError(f"no answer from {connection.url}: {reason}"), _can_pass(call, reply))


def parsed(response: httpx.Response, kind: type[T]) -> T:
    """The body of a response, as a ``kind``.

    Raises:
        UnexpectedAnswerError: it is none.
    """
    try:
        return read_answer(kind, response.content)
    except ValidationError as error:
        wrong = first_error_of_answer(error)
        if wrong is None:
            message = f"{response.url} did not answer with JSON; is it a proofrank server?"
        else:
            message = f"the answer of {response.url}: {wrong}"
        # Not from pydantic's error, which would show the whole of a large answer.
        raise UnexpectedAnswerError(message) from None


def _can_pass(call: Call, error: httpx.RequestError) -> bool:
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return False
    if isinstance(error, _NEVER_SENT):
        return True
    if isinstance(error, httpx.ReadTimeout):
        # The server may be at work still: asking again is for questions that cost it nothing.
        return call.method == "GET"
    return call.is_repeatable and isinstance(error, _BROKEN_OFF)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
