"""What a worker is and does: it makes one evaluator, keeps it, and proves a shard at a time.

Dataset, queries and policy come through Ray's object store, so that a worker needs none of the driver's files. What
crosses it is pickled by Ray between processes of one cluster that the user started; nothing of a client is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import Evaluator
from proofrank.service.bulk.shards import Shard, prove_shard
from proofrank.service.on_ray.artifacts import ArtifactFiles, write_artifacts
from proofrank.service.on_ray.work_order import WorkOrder

SHARD = "shard"
"""Column of the numbers of shards, which go out."""

RESULT = "result"
"""Column of what comes back."""


class ShardWorker:
    """Proves shards; Ray Data keeps one object of this class alive in each worker."""

    def __init__(self, order: ray.ObjectRef[WorkOrder], artifacts: ray.ObjectRef[ArtifactFiles]) -> None:
        self._order: WorkOrder = ray.get(order)
        self._artifacts = artifacts
        self._evaluator: Evaluator | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The result of each shard of ``batch``; one that cannot be proved has its error in the place of a result.

        An error that the user caused is an answer like any other: raised here, Ray would wrap it.
        """
        results = [self._prove(self._order.shards[number]) for number in batch[SHARD]]
        # Filled in, for numpy would take apart what it is given whole.
        column = np.empty(len(results), dtype=object)
        column[:] = results
        return {RESULT: column}

    def _prove(self, shard: Shard) -> Any:
        try:
            if self._evaluator is None:
                write_artifacts(ray.get(self._artifacts), self._order.artifact_folder)
                self._evaluator = self._order.make_evaluator()
            return prove_shard(self._evaluator, self._order.work, shard)
        except ProofrankError as error:
            return str(error)
