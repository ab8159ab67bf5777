"""Closes the connections of clients that are too slow: a head that never ends, a body that trickles, an answer unread.

uvicorn bounds none of these in time. A connection costs little, but there are only so many, and an answer that is not
read stays in memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
import time
from collections.abc import Iterable
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as Exchange

logger = logging.getLogger("proofrank")

LEAST_BYTES_PER_SECOND = 16 * 1024
"""A client that sends or reads so fast may take as long as it likes."""

_LONGEST_BETWEEN_LOOKS = 1.0
"""Seconds that count between two looks: where the server itself stood still for longer, that is no client's fault."""


class _Mark(NamedTuple):
    """Where a connection stood when its present wait began.

    Attributes:
        exchange: the request that was its last.
        waits_for: what the client has to do.
        since: by the clock of :class:`SlowClients`.
        unread: bytes of answers that it had not read.
        received: bytes of bodies that had come of it.
    """

    exchange: Exchange | None
    waits_for: str
    since: float
    unread: int = 0
    received: int = 0


class SlowClients:
    """Looks at connections from time to time, and closes those of clients that are too slow."""

    def __init__(self, patience_seconds: float) -> None:
        """Args:
        patience_seconds: how long a client may do nothing, or be behind ``LEAST_BYTES_PER_SECOND``.
        """
        self._patience = patience_seconds
        self._clock = 0.0
        self._last_look = time.monotonic()
        self._marks: dict[HttpToolsProtocol, _Mark] = {}

    def look(self, connections: Iterable[HttpToolsProtocol]) -> int:
        """Closes those that are too slow; how many they were."""
        self._clock += min(_LONGEST_BETWEEN_LOOKS, time.monotonic() - self._last_look)
        self._last_look = time.monotonic()
        now = self._clock
        num_closed = 0
        # Made anew, so that those of connections that are gone go too: an exchange that never began refers to its
        # connection, which a weak reference would therefore never see go.
        marks: dict[HttpToolsProtocol, _Mark] = {}
        for connection in list(connections):
            mark = self._marks.get(connection)
            state = self._state(connection, now)
            if state is None:
                continue
            if mark is None or self._has_moved(mark, state):
                marks[connection] = state
            elif now - mark.since > self._patience:
                logger.info("closed the connection of a client that was too slow with the %s", mark.waits_for)
                connection.transport.abort()
                num_closed += 1
            else:
                marks[connection] = mark
        self._marks = marks
        return num_closed

    def _state(self, connection: HttpToolsProtocol, now: float) -> _Mark | None:
        """What the client has to do now; None where it is the server's turn."""
        exchange, unread = connection.cycle, _unread_bytes(connection.transport)
        if unread:
            return _Mark(exchange, "answer", now, unread)
        if exchange is None or exchange.response_complete:
            # Between two requests the connection is idle, and uvicorn closes it in its time.
            is_idle = connection.timeout_keep_alive_task is not None
            return None if is_idle else _Mark(exchange, "head", now)
        # Where the service has not taken yet what has come, or has not asked for any, it is its turn.
        is_asked = not connection.flow.read_paused and not exchange.waiting_for_100_continue
        if not (exchange.more_body and is_asked):
            return None
        return _Mark(exchange, "body", now, received=getattr(connection, "num_body_bytes", 0))

    def _has_moved(self, mark: _Mark, state: _Mark) -> bool:
        if (mark.exchange, mark.waits_for) != (state.exchange, state.waits_for):
            return True
        least = self._patience * LEAST_BYTES_PER_SECOND
        if state.waits_for == "body":
            return state.received - mark.received >= least
        has_read = mark.unread - state.unread
        return has_read > 0 and has_read >= min(mark.unread, least)


def _unread_bytes(transport: asyncio.Transport) -> int:
    """What was written and the client's machine has not taken, here and in the kernel, which may keep megabytes."""
    unread = transport.get_write_buffer_size()
    socket = transport.get_extra_info("socket")
    try:
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:  # where the system does not tell
        return unread
    return unread + in_kernel
