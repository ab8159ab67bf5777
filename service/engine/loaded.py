"""What is being served, and the refusal where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from proofrank.core.graph import Dataset
from proofrank.core.prover import ProverSettings
from proofrank.service.scheduler import Scheduler
from proofrank.service.web.problems import Problem
from proofrank.service.web.rejections import Rejection


@dataclass(frozen=True)
class Loaded:
    """Everything that is being served, but for the policy."""

    dataset: Dataset
    settings: ProverSettings
    scheduler: Scheduler


def unavailable(detail: str, rejection: Rejection) -> Problem:
    """A 503 Problem that asks to come back soon."""
    headers = {"Retry-After": "1"}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers, rejection=rejection)
