"""The size of a job's chunks."""

from __future__ import annotations

_FEWEST_CANDIDATES = 256
_MOST_CANDIDATES = 65_536
_TARGET_SECONDS = 0.5


class ChunkSizer:
    """Sizes chunks so that each takes about half a second: a kill loses little, and the job seldom waits for the disk.

    Attributes:
        num_candidates: maximum number of candidates in the next chunk.
    """

    def __init__(self, most_candidates: int) -> None:
        """Begins with small chunks, which will never exceed ``most_candidates``."""
        self._most = min(most_candidates, _MOST_CANDIDATES)
        self._fewest = min(self._most, _FEWEST_CANDIDATES)
        self.num_candidates = self._fewest

    def took(self, seconds: float) -> None:
        """Adapts the size to the time that a chunk took."""
        if seconds < _TARGET_SECONDS / 2:
            self.num_candidates = min(2 * self.num_candidates, self._most)
        elif seconds > 2 * _TARGET_SECONDS:
            self.num_candidates = max(self.num_candidates // 2, self._fewest)

    def failed(self) -> None:
        """Returns to small chunks: a large one may have exceeded the memory."""
        self.num_candidates = self._fewest
