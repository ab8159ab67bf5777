"""The ``original`` engine: the reference prover, one candidate after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proofrank.core.evaluator.base import check_exact
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, StateScorer
from proofrank.core.prover import (
    Candidate,
    Choice,
    Outcome,
    Outcomes,
    ProverSettings,
    ReferenceProver,
    first_of_the_best,
    recorded,
)


class ReferenceEvaluator:
    """Evaluates with the reference prover; the oracle and the baseline of every comparison."""

    engine = "original"

    def __init__(self, dataset: Dataset, policy: Policy, settings: ProverSettings) -> None:
        """Checks that the policy fits the graph.

        Raises:
            PolicyError: the vocabularies differ.
            EvaluationError: a trajectory might need more variables or places than the policy has.
        """
        check_exact(dataset, policy, settings, is_packed=False)
        self.policy = policy
        self.prover = ReferenceProver(dataset, settings)
        self.scorer = StateScorer(policy.model)

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """See :class:`proofrank.core.evaluator.base.Evaluator`."""
        outcomes: list[Outcome] = []
        for index, candidate in enumerate(candidates):
            choose = recorded(recorded_actions[index]) if recorded_actions is not None else first_of_the_best
            outcomes.append(self.prove(candidate, choose=choose))
            if on_progress is not None:
                on_progress(len(outcomes))
        return Outcomes.of(outcomes)

    def prove(
        self, candidate: Candidate, *, choose: Choice = first_of_the_best, with_trace: bool = False
    ) -> Outcome:
        """One candidate's outcome; see :meth:`ReferenceProver.prove`."""
        return self.prover.prove(candidate, self.scorer, choose=choose, with_trace=with_trace)
