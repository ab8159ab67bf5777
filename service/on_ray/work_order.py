"""The order for a worker: the queries, the policy, and the evaluator to make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.evaluator import Evaluator
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import LazyQueries, Pruning, Scoring
from proofrank.service.bulk.shards import Shard
from proofrank.service.engine.engine_options import EngineOptions


@dataclass(frozen=True)
class WorkOrder:
    """Everything that a worker needs.

    Attributes:
        work: the queries, with their dataset.
        policy: policy that fits the dataset.
        settings: settings of the prover.
        engine: evaluator to make, with the processes and the device of a worker.
        buckets: buckets of that evaluator.
        shards: shards of the queries, by number.
        pruning: what may be left out; None for nothing.
        scoring: what scores beside or instead of proofs, on the CPU; None for proofs alone.
        artifacts: name of the folder of everything that is compiled for this order; None if nothing is compiled.
    """

    work: LazyQueries
    policy: Policy
    settings: ProverSettings
    engine: EngineOptions
    buckets: tuple[int, ...]
    shards: tuple[Shard, ...]
    pruning: Pruning | None = None
    scoring: Scoring | None = None
    artifacts: str | None = None

    @property
    def artifact_folder(self) -> Path | None:
        """Returns that folder on this machine, because machines may have other users and other disks."""
        if self.artifacts is None:
            return None
        root = self.engine.cache_folder if self.engine.cache_folder is not None else default_cache_folder()
        return root / "on-ray" / self.artifacts

    @property
    def is_proving(self) -> bool:
        """Whether candidates are proved."""
        return self.scoring is None or self.scoring.kind != "embedding"

    def make_evaluator(self) -> Evaluator:
        """Makes the evaluator. Raises EvaluationError if this machine cannot have one of this kind."""
        dataset = self.work.corruptor.dataset
        engine = self.engine
        if self.artifacts is not None:
            engine = dataclasses.replace(engine, cache_folder=self.artifact_folder)
        return engine.make_evaluator(dataset, self.policy, self.settings, self.buckets)
