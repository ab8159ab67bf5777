"""The original on this host's processor, the reference for outcomes and times."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from benchmarks.common import Workload
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.prover import Candidate, Outcome


def prove(
    workload: Workload, candidates: Sequence[Candidate] | None = None
) -> tuple[Sequence[Outcome], float]:
    """Returns the outcomes of ``candidates``, by default of all, and the seconds that they took."""
    evaluator = ReferenceEvaluator(workload.dataset, workload.policy, workload.settings)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # its fastest, because its matrices are too small for two
    try:
        began = time.perf_counter()
        outcomes = evaluator.evaluate(workload.candidates if candidates is None else candidates)
        return outcomes, time.perf_counter() - began
    finally:
        torch.set_num_threads(num_threads)
