"""Queries that wait until enough processes ask, so that what a test says of workers depends on no machine's speed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.ranking import LazyQueries, Query

_PATIENCE = 300.0
"""Seconds until a gate that stays closed counts as broken; never waited in full."""


@dataclass(frozen=True)
class GatedQueries(LazyQueries):
    """Queries each of which is given out once so many processes have asked for one.

    Attributes:
        folder: has a file for each process that has asked, named by its id; all processes share it.
        processes: how many must have asked, by the place of the query.
    """

    folder: Path
    processes: tuple[int, ...]

    @classmethod
    def around(cls, work: LazyQueries, folder: Path, processes: tuple[int, ...]) -> GatedQueries:
        """``work`` with gates; ``processes`` has a number for each of its triples."""
        folder.mkdir()
        return cls(work.triples, work.sides, work.corruptor, folder, processes)

    def without_gates(self) -> LazyQueries:
        """The same queries."""
        return LazyQueries(self.triples, self.sides, self.corruptor)

    def asking_processes(self) -> set[int]:
        """The ids of all processes that have asked."""
        return {int(path.name) for path in self.folder.iterdir()}

    def queries(self, index: int) -> list[Query]:
        """As of the base, once the gate is open."""
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + _PATIENCE
        while len(self.asking_processes()) < self.processes[index]:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.asking_processes()} have asked; expected {self.processes[index]} processes for {index}"
                )
            time.sleep(0.02)
        return super().queries(index)
