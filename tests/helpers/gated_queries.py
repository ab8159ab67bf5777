"""Queries that wait until enough processes ask, so that tests of workers do not depend on the machine's speed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.ranking import LazyQueries, Query

_PATIENCE = 300.0
"""Seconds after which a closed gate counts as a failure; never waited in full."""


@dataclass(frozen=True)
class GatedQueries(LazyQueries):
    """Queries, each of which is given out once enough processes have asked for one.

    Attributes:
        folder: folder with a file for each process that has asked, named by its id; all processes share it.
        processes: number of processes that must have asked, by the place of the query.
    """

    folder: Path
    processes: tuple[int, ...]

    @classmethod
    def around(cls, work: LazyQueries, folder: Path, processes: tuple[int, ...]) -> GatedQueries:
        """Puts gates around ``work``; ``processes`` has a number for each of its triples."""
        folder.mkdir()
        return cls(work.triples, work.sides, work.corruptor, folder, processes)

    def without_gates(self) -> LazyQueries:
        """Returns the same queries without gates."""
        return LazyQueries(self.triples, self.sides, self.corruptor)

    def asking_processes(self) -> set[int]:
        """Returns the ids of all processes that have asked."""
        return {int(path.name) for path in self.folder.iterdir()}

    def queries(self, index: int) -> list[Query]:
        """Returns the queries once the gate is open."""
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + _PATIENCE
        while len(self.asking_processes()) < self.processes[index]:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.asking_processes()} have asked; expected {self.processes[index]} processes for {index}"
                )
            time.sleep(0.02)
        return super().queries(index)
