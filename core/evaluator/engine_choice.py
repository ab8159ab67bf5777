"""Finds out whether the compiled engine pays on this graph and this machine, and keeps the answer.

On a CPU ``auto`` is ``eager``, which is ready at once. ``default`` needs the compiler first, about a minute, and is
then faster on most graphs, by up to a quarter (``docs/benchmarks.md``). So a server that ranks for long has another
process find out whether that holds for its graph. The artifacts stay in the cache, so that the next start compiles
nothing.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifacts import default_cache_folder, hash_of_key
from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.engines import automatic_mode, create_evaluator
from proofrank.core.evaluator.kept_json import kept_or_found, read_kept
from proofrank.core.evaluator.sample import repeated, sample_candidates
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcomes, ProverSettings

AT_ONCE = automatic_mode(torch.device("cpu"))
"""Engine of ``auto`` on a CPU until the other one is compiled."""

COMPILED = "default"
"""Engine that usually is faster, once it is compiled."""

_MOST_RATIO = 0.97
"""Largest share of the time of ``AT_ONCE`` at which another engine pays; less of a gain is within what timings differ
by."""

_TURNS = 5
_CANDIDATES_PER_LANE = 2
_WHAT = "choice of the engine"


@dataclass(frozen=True)
class EngineChoice:
    """What was found out.

    Attributes:
        ratio: processor time of the other engine divided by that of ``AT_ONCE``, for the same candidates.
    """

    ratio: float

    def __post_init__(self) -> None:
        """Raises EvaluationError for a ratio that is none."""
        if not (isinstance(self.ratio, float) and math.isfinite(self.ratio) and self.ratio > 0):
            raise EvaluationError(f"ratio is {self.ratio!r}; expected a number above 0")

    @property
    def pays(self) -> bool:
        """Whether the other engine is the faster one."""
        return self.ratio <= _MOST_RATIO


@dataclass(frozen=True)
class EngineQuestion:
    """All that the answer depends on, but the machine and the number of torch's threads in the calling thread.

    Attributes:
        dataset: the graph.
        policy: must fit it; another one of the same shape has the same answer.
        settings: of the prover.
        buckets: numbers of lanes.
        fullgraph: whether the compiler must take each part of the tick as one graph.
        precision: of matrix products.
        calibrate: whether buffers of fixed shape are fitted to what a short run finds out.
        cache_folder: folder of artifacts and of answers; None for the default.
        other: engine that may take the place of ``AT_ONCE``.
    """

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    buckets: Sequence[int]
    fullgraph: bool = True
    precision: str = "float32"
    calibrate: bool = True
    cache_folder: Path | None = None
    other: str = COMPILED

    def kept_answer(self) -> EngineChoice | None:
        """Returns the answer that was found before; None if there is none."""
        return read_kept(self._path(), _WHAT, _parsed)

    def answer(self) -> EngineChoice:
        """Returns the answer that was found before, or compiles, measures and keeps it; waits where another process
        does so.

        Raises:
            EvaluationError: nothing can be compiled here, or the engines do not agree.
        """
        return kept_or_found(
            self._path(), _WHAT, _parsed, self._measured, lambda choice: {"ratio": choice.ratio}
        )

    def _path(self) -> Path:
        key = {
            "kind": "engine choice",
            "dataset": self.dataset.content_hash,
            "settings": self.settings,
            "network": self.policy.shape,
            "buckets": tuple(self.buckets),
            "fullgraph": self.fullgraph,
            "precision": self.precision,
            "calibrate": self.calibrate,
            "other": self.other,
        }
        folder = self.cache_folder if self.cache_folder is not None else default_cache_folder()
        return folder / f"engine-choice-{hash_of_key(key)}.json"

    def _measured(self) -> EngineChoice:
        sample = repeated(sample_candidates(self.dataset), _CANDIDATES_PER_LANE * max(self.buckets))
        if not sample:
            raise EvaluationError("the graph has no triples to measure with")
        at_once, other = self._evaluator(AT_ONCE), self._evaluator(self.other)
        # The first run compiles.
        expected, found = (Outcomes.of(evaluator.evaluate(sample)) for evaluator in (at_once, other))
        if other.engine == at_once.engine:
            raise EvaluationError("there is no compiler here that makes machine code of a tick")
        check_agreement(expected, found, self.other)
        turns = [
            (_processor_seconds(at_once, sample), _processor_seconds(other, sample)) for _ in range(_TURNS)
        ]
        of_at_once, of_other = (statistics.median(seconds) for seconds in zip(*turns, strict=True))
        return EngineChoice(of_other / of_at_once)

    def _evaluator(self, engine: str) -> Evaluator:
        return create_evaluator(
            engine,
            self.dataset,
            self.policy,
            self.settings,
            device="cpu",
            fullgraph=self.fullgraph,
            buckets=self.buckets,
            precision=self.precision,
            cache_folder=self.cache_folder,
            calibrate=self.calibrate,
        )


def check_agreement(expected: Outcomes, found: Outcomes, other: str) -> None:
    """Checks that both engines proved the same candidates in the same numbers of steps.

    Args:
        expected: outcomes by ``AT_ONCE``.
        found: outcomes by the other engine.
        other: its name.

    Raises:
        EvaluationError: they did not, which is a fault of the compiler or of this program.
    """
    differ = np.flatnonzero((expected.success != found.success) | (expected.steps != found.steps))
    if len(differ):
        raise EvaluationError(
            f"{other} proves {len(differ)} of {len(expected)} candidates otherwise than {AT_ONCE}; it is not used"
        )


def _processor_seconds(evaluator: Evaluator, sample: Sequence[Candidate]) -> float:
    """Time on the processor, which other programs beside change little."""
    began = time.process_time()
    evaluator.evaluate(sample)
    return time.process_time() - began


def _parsed(fields: Any) -> EngineChoice:
    return EngineChoice(fields["ratio"])
