"""A worker: it makes one evaluator, keeps it, and proves one shard at a time.

Dataset, queries and policy come through Ray's object store, so a worker needs none of the driver's files. Ray pickles
them between the processes of one cluster that the user started; nothing of a client is pickled.
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
"""Name of the column of shard numbers, which are sent out."""

RESULT = "result"
"""Name of the column of results, which come back."""


class ShardWorker:
    """Proves shards; Ray Data keeps one object of this class in each worker."""

    def __init__(self, order: ray.ObjectRef[WorkOrder], artifacts: ray.ObjectRef[ArtifactFiles]) -> None:
        self._order: WorkOrder = ray.get(order)
        self._artifacts = artifacts
        self._evaluator: Evaluator | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the result of each shard of ``batch``; a shard that cannot be proved has the text of its error
        instead.

        An error that the user caused is returned like any other answer, because Ray would wrap an exception.
        """
        results = [self._prove(self._order.shards[number]) for number in batch[SHARD]]
        # Assigned item by item, because numpy would take a sequence of results apart.
        column = np.empty(len(results), dtype=object)
        column[:] = results
        return {RESULT: column}

    def _prove(self, shard: Shard) -> Any:
        try:
            order = self._order
            if self._evaluator is None and order.is_proving:
                write_artifacts(ray.get(self._artifacts), order.artifact_folder)
                self._evaluator = order.make_evaluator()
            return prove_shard(self._evaluator, order.work, shard, order.pruning, order.scoring)
        except ProofrankError as error:
            return str(error)
