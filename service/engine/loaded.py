"""What a host has loaded."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.core.graph import Dataset
from proofrank.core.prover import ProverSettings
from proofrank.service.engine.by_shape import EvaluatorsByShape
from proofrank.service.engine.served_scores import ServedScores
from proofrank.service.scheduler import Scheduler


@dataclass(frozen=True)
class Loaded:
    """Everything that is served, except for the policies."""

    dataset: Dataset
    evaluators: EvaluatorsByShape
    scores: ServedScores | None = None

    @property
    def settings(self) -> ProverSettings:
        """Prover settings of the live policy."""
        return self.evaluators.live.shape.settings

    @property
    def scheduler(self) -> Scheduler:
        """Scheduler of the evaluator that ranks by the live policy."""
        return self.evaluators.live.scheduler
