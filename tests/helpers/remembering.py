"""The reference with a memory: what it is asked again, about a state that it has met, it need not work out again.

Every decision on the way of a trajectory is the reference's own; only what is a function of a state, the resolvents of
its first goal and the logits of its actions, is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, StateScorer
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.prover import ProverSettings, ReferenceProver, State
from proofrank.core.prover.outcome import Atom


class RememberingScorer(StateScorer):
    """Asks the network once for the logits of a state's actions."""

    def __init__(self, network: PolicyNetwork | ExportedNetwork) -> None:
        super().__init__(network)
        self._logits: dict[tuple[State, ...], list[float]] = {}

    def __call__(self, state: State, actions: Sequence[State]) -> list[float]:
        key = (state, *actions)
        if key not in self._logits:
            self._logits[key] = super().__call__(state, actions)
        return self._logits[key]


class RememberingProver(ReferenceProver):
    """Resolves the first goal of a state once."""

    def __init__(self, dataset: Dataset, settings: ProverSettings) -> None:
        super().__init__(dataset, settings)
        self._resolvents: dict[tuple[State, int, Atom | None], tuple[list[State], int]] = {}

    def resolvents(self, state: State, next_variable: int, excluded: Atom | None) -> tuple[list[State], int]:
        key = (state, next_variable, excluded)
        if key not in self._resolvents:
            self._resolvents[key] = super().resolvents(state, next_variable, excluded)
        states, next_variable = self._resolvents[key]
        return list(states), next_variable


class RememberingReference(ReferenceEvaluator):
    """The reference, for tests that have the same candidates proved again and again."""

    def __init__(self, dataset: Dataset, policy: Policy, settings: ProverSettings) -> None:
        super().__init__(dataset, policy, settings)
        self.prover = RememberingProver(dataset, settings)
        self.scorer = RememberingScorer(policy.model)
