"""What the routes share: settings, metrics, and the host of the evaluator."""

from __future__ import annotations

from dataclasses import dataclass

from service.host import EvaluatorHost
from service.metrics import ServiceMetrics
from service.settings import Settings


@dataclass(frozen=True)
class Services:
    """Made once, with the application."""

    settings: Settings
    metrics: ServiceMetrics
    host: EvaluatorHost
