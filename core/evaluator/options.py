"""What a vectorised evaluator may be told beside its graph, its policy and its mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.capacities import DEFAULT_BUCKETS, FROM_THE_GRAPH, Demand, PerLane
from proofrank.core.policy.precision import check_precision

POOL_SIZE = 16384
TICKS_PER_LOOK = 4
"""Ticks between two looks at what is done: a look costs a little, a late look leaves lanes idle."""


@dataclass(frozen=True)
class EvaluatorOptions:
    """Where a vectorised evaluator computes and how large it is. No result depends on it, but for the precision.

    Attributes:
        device: where everything is computed.
        buckets: numbers of lanes; the smallest that fits is used.
        per_lane: sizes of the buckets' buffers.
        pool_size: candidates that the pool holds.
        precision: of the network's matrix products, one of ``proofrank.core.policy.precision.PRECISIONS``.
        demand: what lanes ask for on average, as calibration found it; buffers are fitted to it where ``per_lane``
            does not set them.
        ticks_per_look: ticks between two looks at what is done; where ticks are recorded, those of one replay.
        cache_folder: where compiled artifacts are kept.
        memory_share: of the device's memory, what this process may have, above 0 and at most 1; None for all that is
            free.
        has_model_bits: whether a tick looks up in a set of bits whether a candidate may have a proof; None for on CUDA,
            if the set is not too large.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    buckets: Sequence[int] = DEFAULT_BUCKETS
    per_lane: PerLane = FROM_THE_GRAPH
    pool_size: int = POOL_SIZE
    precision: str = "float32"
    demand: Demand | None = None
    ticks_per_look: int = TICKS_PER_LOOK
    cache_folder: Path = field(default_factory=default_cache_folder)
    memory_share: float | None = None
    has_model_bits: bool | None = None

    def __post_init__(self) -> None:
        """Raises EvaluationError for what no evaluator can be made of."""
        for name in ("pool_size", "ticks_per_look"):
            number = getattr(self, name)
            if number < 1:
                raise EvaluationError(f"{name} is {number}; expected 1 or more")
        if self.memory_share is not None and not 0 < self.memory_share <= 1:
            raise EvaluationError(f"memory_share is {self.memory_share}; expected above 0 and at most 1")
        check_precision(self.precision, self.device)
