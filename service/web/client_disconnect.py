"""Stops the work for a client that has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

CLIENT_GONE_STATUS = 499
"""Status in the metrics, as web servers have it; there is no client left to read an answer."""

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """The client went away before it was answered."""


async def unless_client_goes(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` gives; cancels it if the client goes away first.

    Args:
        request: its body must have been read.
        work: is done meanwhile.

    Raises:
        ClientGoneError: the client went away.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError
    finally:
        working.cancel()
        watching.cancel()
        # What it raised has this frame in its traceback: both would keep each other, and all that the request held,
        # until the garbage collector comes by.
        del working, watching


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
