"""Options of an evaluator: what no evaluator can be made of is refused before anything is built."""

from __future__ import annotations

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import EvaluatorOptions


def test_a_pool_without_slots_is_refused() -> None:
    with pytest.raises(EvaluationError, match="pool_size is 0; expected 1 or more"):
        EvaluatorOptions(pool_size=0)


def test_no_ticks_between_two_looks_are_refused() -> None:
    with pytest.raises(EvaluationError, match="ticks_per_look is 0; expected 1 or more"):
        EvaluatorOptions(ticks_per_look=0)


def test_a_precision_that_the_device_has_not_is_refused() -> None:
    with pytest.raises(EvaluationError, match="needs a CUDA device"):
        EvaluatorOptions(precision="tf32")
