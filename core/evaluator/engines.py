"""The engines by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core.errors import EvaluationError, did_you_mean, nearest_names
from core.evaluator.base import Evaluator
from core.evaluator.original import OriginalEvaluator
from core.graph import Dataset
from core.policy import Policy
from core.prover import ProverSettings

ENGINES = ("auto", "original")
"""``auto`` is the fastest that fits the machine; ``original`` is the reference."""


def create_evaluator(engine: str, dataset: Dataset, policy: Policy, settings: ProverSettings) -> Evaluator:
    """An evaluator of the named engine.

    Raises:
        EvaluationError: there is no such engine, or it cannot evaluate this graph exactly.
        PolicyError: the policy does not fit the graph.
    """
    if engine not in ENGINES:
        near = did_you_mean(nearest_names(engine, ENGINES))
        raise EvaluationError(f"unknown engine {engine!r}{near}; expected one of {', '.join(ENGINES)}")
    return OriginalEvaluator(dataset, policy, settings)


def settings_for(policy: Policy, overrides: Mapping[str, Any] | None = None) -> ProverSettings:
    """The settings that ``policy`` was trained under, or the defaults, with ``overrides``.

    Raises:
        EvaluationError: an unknown name or a bad value.
    """
    trained_under = policy.settings if policy.settings is not None else ProverSettings()
    return ProverSettings.from_dict({**dataclasses.asdict(trained_under), **(overrides or {})})
