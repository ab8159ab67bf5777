"""How often each client may come: a sliding window per client, in bounded memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

_MOST_CLIENTS = 1000
"""Clients whose windows are kept; over it, the one that has been away longest starts anew."""

_A_LITTLE = 0.01
"""Seconds: more than what a time of day loses in a float, and less than anybody notices."""


class ClientRates:
    """Counts the requests of each client.

    Two counters a client, that of this window and that of the last, weighted by how much of it still counts: a log
    of every request would be exact, and as large as the limit is high. The counters are found by the time's
    window, so a clock that is set back cannot lock anybody out.
    """

    def __init__(self, rate: str) -> None:
        self._limit = limits.parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._clients: OrderedDict[str, None] = OrderedDict()

    async def seconds_to_wait(self, client: str) -> int | None:
        """Counts a request of ``client``; the seconds after which to come again where it is one too many."""
        self._clients[client] = None
        self._clients.move_to_end(client)
        if len(self._clients) > _MOST_CLIENTS:
            forgotten, _ = self._clients.popitem(last=False)
            await self._limiter.clear(self._limit, forgotten)
        if await self._limiter.hit(self._limit, client):
            return None
        reset_time, _ = await self._limiter.get_window_stats(self._limit, client)
        # At that very moment the oldest of them still counts; a little later it does not.
        return max(1, math.ceil(reset_time - time.time() + _A_LITTLE))

    def __str__(self) -> str:
        """The limit in words."""
        return str(self._limit)


def network_of(address: str) -> str:
    """Part of an address that belongs to one client: all of it, or the first half for IPv6.

    A client with one IPv6 address usually has 2**64 of them.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
