"""The agreement of two evaluations of the same queries: proofs, log-probabilities, ranks, MRR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.common import Workload
from benchmarks.device.record import AGREES, Row
from proofrank.core.evaluator.diff import differing
from proofrank.core.prover import Outcome
from proofrank.core.ranking import aggregate, rank_outcomes


@dataclass(frozen=True)
class Agreement:
    """The agreement of outcomes with expected ones.

    Attributes:
        num_candidates: candidates compared.
        num_differing: candidates whose success, steps, actions or log-probability (beyond its tolerance) differ.
        num_same_proofs: candidates with the same actions and success.
        num_rankings: rankings compared.
        num_changed_ranks: rankings with another rank under any treatment of ties.
        drift: largest difference of a log-probability among the same proofs.
        mrr: MRR of the outcomes.
        wanted_mrr: MRR of the expected ones.
    """

    num_candidates: int
    num_differing: int
    num_same_proofs: int
    num_rankings: int
    num_changed_ranks: int
    drift: float
    mrr: float
    wanted_mrr: float

    @classmethod
    def of(cls, workload: Workload, outcomes: Sequence[Outcome], wanted: Sequence[Outcome]) -> Agreement:
        """Compares ``outcomes`` with ``wanted``, for the candidates of ``workload`` in order."""
        ours, theirs = (
            rank_outcomes(workload.queries, known, seed=0, seconds=0.0) for known in (outcomes, wanted)
        )
        same = [
            (own, other)
            for own, other in zip(outcomes, wanted, strict=True)
            if own.actions == other.actions and own.success == other.success
        ]
        gaps = (abs(own.log_probability - other.log_probability) for own, other in same)
        return cls(
            num_candidates=len(outcomes),
            num_differing=len(differing(workload.candidates, outcomes, wanted)),
            num_same_proofs=len(same),
            num_rankings=len(ours),
            num_changed_ranks=sum(own.ranks != other.ranks for own, other in zip(ours, theirs, strict=True)),
            drift=max(gaps, default=0.0),
            mrr=aggregate(ours).mrr,
            wanted_mrr=aggregate(theirs).mrr,
        )

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs."""
        return self.num_differing == 0 and self.num_changed_ranks == 0 and self.mrr == self.wanted_mrr

    def row(self) -> Row:
        """Returns the columns of a table."""
        return {
            "MRR": self.mrr,
            "wanted MRR": self.wanted_mrr,
            "same proofs": f"{self.num_same_proofs} of {self.num_candidates}",
            "changed ranks": f"{self.num_changed_ranks} of {self.num_rankings}",
            "largest difference of a log-probability": self.drift,
        }

    def exact_row(self) -> Row:
        """Returns the same columns where nothing may differ."""
        return {**self.row(), "differing": self.num_differing, AGREES: self.is_exact}
