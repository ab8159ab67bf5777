"""How many bytes of bodies all requests together may hold."""

from __future__ import annotations

from proofrank.service.errors import BodiesFull

_RETRY_SECONDS = 1
"""A body is held for as long as its request is in work; for most that is less."""


class BodyBudget:
    """Counts the bytes of bodies that are held; used on the event loop alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0

    def check(self, num_bytes: int) -> None:
        """Raises BodiesFull where so many more would be too many."""
        if self._num_bytes + num_bytes > self._max_bytes:
            raise BodiesFull(
                f"requests in work hold bodies of {self._num_bytes} bytes and {num_bytes} more would be over the limit "
                f"of {self._max_bytes}",
                retry_seconds=_RETRY_SECONDS,
            )

    def take(self, num_bytes: int) -> None:
        """Counts so many more as held. Raises as :meth:`check` does."""
        self.check(num_bytes)
        self._num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Counts so many as held no more."""
        self._num_bytes -= num_bytes
