"""Reads JSON bodies so that a big or odd one does not hold up everybody else.

FastAPI parses and checks bodies on the event loop. Here parsing runs in a thread, and an object with more fields than
any request has is refused by the parser: a million unknown names would otherwise become a million errors.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from proofrank.service.errors import InvalidInput
from proofrank.service.wire import FieldError

MAX_FIELDS = 100
_SMALL_BYTES = 16 * 1024
"""Bodies up to here are parsed faster than a thread is found for them."""


class BoundedRequest(Request):
    """A request whose JSON is parsed off the event loop."""

    check: Callable[[Any], None] | None = None

    async def json(self) -> Any:
        """The body's value. Raises as :func:`read_json` and ``check`` do."""
        if not hasattr(self, "_json"):
            body = await self.body()
            is_small = len(body) <= _SMALL_BYTES
            self._json = self._read(body) if is_small else await asyncio.to_thread(self._read_big, body)
        return self._json

    def _read_big(self, body: bytes) -> Any:
        # Nothing of JSON is garbage yet, but the collector looks through millions of new lists again and again,
        # with all threads waiting: 16 MiB of empty lists take it 3.1 s, and 0.4 s without it.
        with _no_collection():
            return self._read(body)

    def _read(self, body: bytes) -> Any:
        value = read_json(body)
        if self.check is not None:
            self.check(value)
        return value


def bounded_route(check: Callable[[Any], None] | None = None) -> type[APIRoute]:
    """The ``route_class`` for a router whose routes take JSON.

    Args:
        check: raises a Problem for a value that is too big to be worth validating.
    """

    class BoundedRoute(APIRoute):
        """A route whose requests are bounded."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """What handles a request."""
            handle = super().get_route_handler()

            async def handle_bounded(request: Request) -> Response:
                bounded = BoundedRequest(request.scope, request.receive)
                bounded.check = check
                return await handle(bounded)

            return handle_bounded

    return BoundedRoute


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pauses the garbage collector; of two at once the first to end lets it go on."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_json(body: bytes) -> Any:
    """The value that ``body`` holds.

    Raises:
        Problem: 422 for an object with too many fields.
        ValueError, RecursionError: as ``json.loads`` does.
    """
    return json.loads(body, object_pairs_hook=_to_dict)


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_FIELDS:
        message = f"an object with {len(pairs)} fields; no object of a request has more than {MAX_FIELDS}"
        raise InvalidInput([FieldError(field="body", value=None, message=message)])
    return dict(pairs)
