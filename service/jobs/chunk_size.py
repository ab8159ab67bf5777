"""How large the chunks of a job are."""

from __future__ import annotations

_FEWEST_CANDIDATES = 256
_MOST_CANDIDATES = 65_536
_TARGET_SECONDS = 0.5


class ChunkSizer:
    """Chunks that take about half a second: so little is lost by a kill, and so seldom is the disk waited for.

    Attributes:
        num_candidates: that the next chunk may have.
    """

    def __init__(self, most_candidates: int) -> None:
        """A slow pace, that will never be faster than ``most_candidates`` a chunk."""
        self._most = min(most_candidates, _MOST_CANDIDATES)
        self._fewest = min(self._most, _FEWEST_CANDIDATES)
        self.num_candidates = self._fewest

    def took(self, seconds: float) -> None:
        """Learns how long a chunk took."""
        if seconds < _TARGET_SECONDS / 2:
            self.num_candidates = min(2 * self.num_candidates, self._most)
        elif seconds > 2 * _TARGET_SECONDS:
            self.num_candidates = max(self.num_candidates // 2, self._fewest)

    def failed(self) -> None:
        """Begins anew with small chunks: a large one may have been more than the memory holds."""
        self.num_candidates = self._fewest
