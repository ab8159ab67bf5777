"""The course of an evaluation, shard by shard, as a JSON file from which balance and overhead are computed.

The file::

    {"format": "proofrank-trace-1",
     "run": {…},                    identity of the evaluation: proofrank.service.bulk.identity
     "on": "ray",                   or "process"
     "workers": 2,
     "shards": [{"shard": 0,        number of the shard; shards are in the order in which they returned
                 "queries": 4,
                 "candidates": 408, of all sides, including positives
                 "steps": 1321,     of all trajectories together
                 "began": 7.21,     start in the worker, by the worker's clock
                 "ended": 8.02,     time when the worker had its ranks
                 "returned": 8.03,  time when the driver had them, by the driver's clock
                 "seconds": 0.81,   duration in the worker, by a monotonic clock
                 "idle_seconds": 0.006,   time of its worker since its previous shard; null for its first
                 "node": "host", "process": 4711,
                 "engine": "eager",
                 "graphs_compiled": 0},   graphs compiled meanwhile
                …]}

All times are in seconds; ``began``, ``ended`` and ``returned`` count from the start of the driver. A worker has its
next shard in its queue before it ends one, so ``idle_seconds`` is the cost of a shard apart from its work.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from proofrank.service.bulk.identity import Identity
from proofrank.service.bulk.shards import ShardResult

FORMAT = "proofrank-trace-1"


class Balance(NamedTuple):
    """How evenly the work was shared.

    Attributes:
        workers: number of processes that proved shards; one that replaced a lost one counts separately.
        shards: number of shards that they proved.
        busy_share: share of the time from the first shard's start to the last one's end in which workers proved.
        late_seconds: time from the end of the first worker to run out of shards to the end of the last. A lost worker
            has not run out of them.
        mean_idle_seconds: mean time of a worker between two shards.
    """

    workers: int
    shards: int
    busy_share: float
    late_seconds: float
    mean_idle_seconds: float


class Trace:
    """Records the times of shards."""

    def __init__(self) -> None:
        self._started = time.time()
        self._shards: list[dict[str, Any]] = []
        self._ended_of_worker: dict[tuple[str, int], float] = {}

    def add(self, result: ShardResult) -> None:
        """Records a shard that has returned."""
        worker = (result.node, result.process)
        began = result.began - self._started
        ended_before = self._ended_of_worker.get(worker)
        self._ended_of_worker[worker] = began + result.seconds
        self._shards.append(
            {
                "shard": result.shard.number,
                "queries": len(result.shard.query_indices),
                "candidates": result.candidates,
                "steps": result.steps,
                "began": began,
                "ended": began + result.seconds,
                "returned": time.time() - self._started,
                "seconds": result.seconds,
                "idle_seconds": None if ended_before is None else began - ended_before,
                "node": result.node,
                "process": result.process,
                "engine": result.engine,
                "graphs_compiled": result.graphs_compiled,
            }
        )

    @property
    def is_empty(self) -> bool:
        """Whether no shard has been recorded."""
        return not self._shards

    def balance(self, num_workers: int) -> Balance:
        """Computes how evenly the work of at least one shard was shared.

        Args:
            num_workers: maximum number of workers at a time.
        """
        # Lost workers are not known here, but the workers that replaced them ended later.
        ends = sorted(self._ended_of_worker.values())[-num_workers:]
        span = ends[-1] - min(shard["began"] for shard in self._shards)
        idle = [shard["idle_seconds"] for shard in self._shards if shard["idle_seconds"] is not None]
        return Balance(
            workers=len(self._ended_of_worker),
            shards=len(self._shards),
            busy_share=sum(shard["seconds"] for shard in self._shards) / (span * len(ends)),
            late_seconds=ends[-1] - ends[0],
            mean_idle_seconds=sum(idle) / len(idle) if idle else 0.0,
        )

    def to_json(self, identity: Identity, on: str, num_workers: int) -> str:
        """Returns the content of the file that the module describes."""
        content = {
            "format": FORMAT,
            "run": identity,
            "on": on,
            "workers": num_workers,
            "shards": self._shards,
        }
        return json.dumps(content, indent=1) + "\n"
