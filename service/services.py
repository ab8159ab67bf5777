"""What the routes share: settings, metrics, the host of the evaluator, and what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.jobs import Jobs
from proofrank.service.policies import PolicyRegistry
from proofrank.service.policies.replicas import Replicas
from proofrank.service.settings.settings import Settings
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics


@dataclass(frozen=True)
class RankingServices:
    """What it takes to rank; made once, with the application."""

    settings: Settings
    metrics: ServiceMetrics
    host: EvaluatorHost


@dataclass(frozen=True)
class Services(RankingServices):
    """What it takes to do everything."""

    database: Database
    policies: PolicyRegistry
    jobs: Jobs
    replicas: Replicas
