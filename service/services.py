"""What the routes share: settings, metrics, the host of the evaluator, and what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from service.database import Database
from service.fleet import Fleet
from service.host import EvaluatorHost
from service.jobs import Jobs
from service.metrics import ServiceMetrics
from service.policies import PolicyRegistry
from service.settings import Settings


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
    fleet: Fleet
