"""How large the chunks of a job are."""

from __future__ import annotations

FEWEST_CANDIDATES = 256
_MOST_CANDIDATES = 65_536
_TARGET_SECONDS = 0.5


class Pace:
    """Chunks that take about half a second: so little is lost by a kill, and so seldom is the disk waited for.

    Attributes:
        num_candidates: that the next chunk should have.
    """

    def __init__(self) -> None:
        self.num_candidates = FEWEST_CANDIDATES

    def took(self, num_candidates: int, seconds: float) -> None:
        """Learns from a chunk. A query with many candidates makes a large one, from which nothing follows for others."""
        if seconds < _TARGET_SECONDS / 2 and num_candidates >= self.num_candidates:
            self.num_candidates = min(2 * self.num_candidates, _MOST_CANDIDATES)
        elif seconds > 2 * _TARGET_SECONDS:
            self.num_candidates = max(self.num_candidates // 2, FEWEST_CANDIDATES)

    def failed(self) -> None:
        """Begins anew with small chunks: a large one may have been more than the memory holds."""
        self.num_candidates = FEWEST_CANDIDATES
