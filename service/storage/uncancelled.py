"""Changes that are made whole, whatever becomes of the request that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def uncancelled(change: Coroutine[Any, Any, Result]) -> Result:
    """Waits for ``change`` even where the request is cancelled, as Ray Serve does when its client goes.

    A thread that writes cannot be called back, and what it has written must become known.
    """
    task = asyncio.create_task(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
