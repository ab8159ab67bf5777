"""Comparison of outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.prover import Outcome


def assert_same(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> None:
    """Asserts that outcomes are equal, and log-probabilities up to rounding."""
    assert len(outcomes) == len(expected)
    for index, (one, other) in enumerate(zip(outcomes, expected, strict=True)):
        assert (index, one.success, one.steps, one.actions, one.passes_near_tie) == (
            index, other.success, other.steps, other.actions, other.passes_near_tie,
        )  # fmt: skip
        tolerance = 1e-4 + 1e-6 * other.largest_logit
        assert one.log_probability == pytest.approx(other.log_probability, rel=0, abs=tolerance), index
        assert one.largest_logit == pytest.approx(other.largest_logit, rel=1e-4, abs=1e-4), index


def collect_outcomes(evaluator: CompiledEvaluator) -> dict[int, Outcome]:
    """What is done, by its slot; an error is none of it."""
    outcomes: dict[int, Outcome] = {}
    for slot, outcome in evaluator.collect():
        assert isinstance(outcome, Outcome)
        outcomes[slot] = outcome
    return outcomes
