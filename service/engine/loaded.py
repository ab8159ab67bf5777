"""What a host has loaded."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.core.graph import Dataset
from proofrank.core.prover import ProverSettings
from proofrank.service.scheduler import Scheduler


@dataclass(frozen=True)
class Loaded:
    """Everything that is served, except for the policy."""

    dataset: Dataset
    settings: ProverSettings
    scheduler: Scheduler
