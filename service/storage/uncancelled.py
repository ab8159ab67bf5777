"""Changes that run to their end even if the request that asked for them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def uncancelled(change: Coroutine[Any, Any, Result]) -> Result:
    """Waits for ``change`` even if the request is cancelled, as by Ray Serve when its client disconnects.

    A thread that writes cannot be interrupted, and its changes must become known.
    """
    task = asyncio.create_task(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
