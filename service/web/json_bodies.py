"""Reads JSON bodies so that a big or odd one does not hold up everybody else.

FastAPI parses and validates bodies on the event loop. Here both run in a thread, in small steps, because a thread
is no help while it keeps the interpreter to itself. An object with more fields than any request has is refused by the
parser: a million unknown names would otherwise become a million errors.

Pydantic's own parser (``model_validate_json``) would stop all threads until the body is read, and longer still where
it has to tell of many unknown fields; ``python -m benchmarks.read_body`` compares them.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, FailFast, TypeAdapter, ValidationError

from proofrank.service.errors import InvalidInput
from proofrank.service.wire import FieldError, model_within
from proofrank.service.wire.rank_request import MOST_RELATIONS

MAX_FIELDS = 100
"""Maximum number of fields of an object; one of objects has as many as there may be relations with weights."""

_SMALL_BYTES = 16 * 1024
"""Bodies up to here are parsed faster than a thread is found for them."""

_ITEMS_IN_STEP = 1000
"""Number of queries that are validated before another thread may run: about a millisecond's work."""


class BoundedRequest(Request):
    """A request whose JSON is parsed off the event loop."""

    check: Callable[[Any], None] | None = None
    model: type[BaseModel] | None = None

    async def json(self) -> Any:
        """The body's value, with the objects in its lists validated if it is big.

        Raises as :func:`read_json` and ``check`` do.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            is_small = len(body) <= _SMALL_BYTES
            self._json = self._read(body) if is_small else await asyncio.to_thread(self._read_big, body)
        return self._json

    def _read_big(self, body: bytes) -> Any:
        # Nothing of JSON is garbage yet, but the collector looks through millions of new lists again and again,
        # with all threads waiting: 16 MiB of empty lists take it 3.1 s, and 0.4 s without it.
        with _no_collection():
            value = self._read(body)
            if self.model is not None:
                validate_items(value, self.model)
            return value

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
            model = model_within(self.body_field.field_info.annotation) if self.body_field else None

            async def handle_bounded(request: Request) -> Response:
                bounded = BoundedRequest(request.scope, request.receive)
                bounded.check = check
                bounded.model = model
                return await handle(bounded)

            return handle_bounded

    return BoundedRoute


def validate_items(value: Any, model: type[BaseModel]) -> None:
    """Puts models in the place of the objects in the lists of a body, step by step.

    A wrong object and all that come after it are left for the validation of the whole body, which takes a model as it
    is and says what is wrong.

    Args:
        value: of the body; its lists are changed.
        model: what it will be validated as.
    """
    if not isinstance(value, dict):
        return
    for name, field in model.model_fields.items():
        kind, items = model_within(field.annotation), value.get(name)
        if kind is None or not isinstance(items, list):
            continue
        adapter = _adapter_of_step(kind)
        for start in range(0, len(items), _ITEMS_IN_STEP):
            step = slice(start, start + _ITEMS_IN_STEP)
            try:
                items[step] = adapter.validate_python(items[step])
            except ValidationError:
                break


@functools.cache
def _adapter_of_step(kind: type[BaseModel]) -> TypeAdapter[list[Any]]:
    step: Any = Annotated[list[kind], FailFast()]  # pyright: ignore[reportInvalidTypeForm]
    return TypeAdapter(step)


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
        most = MOST_RELATIONS if all(isinstance(value, dict) for _, value in pairs) else MAX_FIELDS
        if len(pairs) <= most:
            return dict(pairs)
        message = (
            f"an object with {len(pairs)} fields; no object of its kind has more than {most} in a request"
        )
        raise InvalidInput([FieldError(field="body", value=None, message=message)])
    return dict(pairs)
