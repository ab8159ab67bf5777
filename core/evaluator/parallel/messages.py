"""Messages between an evaluation and its helpers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proofrank.core.evaluator.parallel.indexed import Ended
from proofrank.core.evaluator.work import Work
from proofrank.core.prover import Candidates


@dataclass(frozen=True)
class Given:
    """To a helper: candidates to prove.

    Attributes:
        evaluation: number of the evaluation.
        indices: ``[n]`` int64, their places in it.
        candidates: ``[n]``.
        num_lanes: how many lanes to use; None for the largest bucket.
    """

    evaluation: int
    indices: np.ndarray
    candidates: Candidates
    num_lanes: int | None


@dataclass(frozen=True)
class Dropped:
    """To a helper: the rest is no longer needed."""


@dataclass(frozen=True)
class Started:
    """From a helper: it waits for its blueprint."""


@dataclass(frozen=True)
class Ready:
    """From a helper: its evaluator is there, on this engine."""

    engine: str


@dataclass(frozen=True)
class Unable:
    """From a helper: it cannot have an evaluator."""

    reason: str


@dataclass(frozen=True)
class Proved:
    """From a helper: candidates that are done.

    Attributes:
        evaluation: number of the evaluation.
        ended: they.
        work: all that the helper has done so far.
    """

    evaluation: int
    ended: Ended
    work: Work
