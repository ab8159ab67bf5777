"""Finds proofs by search: how many steps a state is from its proof, and which of its actions lead there.

In: states and the fact that they must not use. Out: the fewest steps to ``[True]`` within a limit. What a
step is comes from :class:`proofrank.core.prover.ReferenceProver`, so that the search finds no proof that the prover
cannot take; only the visited states are not looked at, for a shortest proof never passes a state twice.

A goal without a constant is not searched beyond the next step: it matches every fact of its predicate, and
the way through it is hardly ever the shortest.

Nearly all time goes into asking whether a state is proved at once, so that this question has a fast way: it
follows the bindings of the first goal and stops at the first remaining atom that is no fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover import Atom, ProverSettings, ReferenceProver, State
from proofrank.core.prover.unification import substitute, unify


class SearchBudgetExceeded(Exception):
    """A search needed more states than it may look at."""


@dataclass(frozen=True)
class Targets:
    """The actions of a state that lead to a proof in the fewest steps.

    Attributes:
        steps: from the state to ``[True]``, at least 1.
        actions: indices of the actions with which it takes no more.
    """

    steps: int
    actions: tuple[int, ...]


class ProofSearch:
    """Searches proofs over one graph under one choice of settings."""

    def __init__(self, dataset: Dataset, settings: ProverSettings, *, budget: int = 20_000) -> None:
        """A search.

        Args:
            dataset: the graph; its train triples are the facts.
            settings: how many actions a state has, and how many atoms.
            budget: how many states one question may look at.
        """
        self.prover = ReferenceProver(dataset, settings)
        self._settings = settings
        self._budget = budget
        self._looked_at = 0
        self._facts = dataset.facts
        self._rules = dataset.rules_by_predicate
        self._num_constants = dataset.vocabulary.num_constants

    def targets(self, actions: Sequence[State], excluded: Atom | None, limit: int) -> Targets | None:
        """The best of a state's ``actions``.

        Args:
            actions: what the prover offers in the state.
            excluded: the fact that must not be used, if there is one.
            limit: the most steps to ``[True]``, counted from the state.

        Returns:
            The best actions; None where there is no proof within the limit.

        Raises:
            SearchBudgetExceeded: it takes too long to say.
        """
        self._looked_at = 0
        for steps in range(1, limit + 1):
            best = tuple(
                index
                for index, state in enumerate(actions)
                if self._is_proved_within(state, excluded, steps - 1)
            )
            if best:
                return Targets(steps, best)
        return None

    def steps_to_proof(self, state: State, excluded: Atom | None, limit: int) -> int | None:
        """The fewest steps from ``state`` to ``[True]``; None where they are more than ``limit``.

        Raises:
            SearchBudgetExceeded: it takes too long to say.
        """
        self._looked_at = 0
        for steps in range(limit + 1):
            if self._is_proved_within(state, excluded, steps):
                return steps
        return None

    def _is_proved_within(self, state: State, excluded: Atom | None, steps: int) -> bool:
        if state == self.prover.true_state:
            return True
        if (
            steps == 0
            or state[0][0] > self.prover.true_state[0][0]
            or len(state) > self._settings.padding_atoms
        ):
            return False
        if self.least_steps(state) > steps:
            return False
        if self.is_proved_at_once(state, excluded):
            return True
        if steps == 1 or min(state[0][1:]) > self._num_constants:
            return False
        # The prover's own resolvents: it offers only the first of them where there are many.
        resolvents, _ = self.prover.resolvents(state, self._next_variable(state), excluded)
        self._looked_at += len(resolvents)
        if self._looked_at > self._budget:
            raise SearchBudgetExceeded
        return any(self._is_proved_within(resolvent, excluded, steps - 1) for resolvent in resolvents)

    def least_steps(self, state: State) -> int:
        """A lower bound of the steps from ``state`` to ``[True]``, by which the search leaves states aside.

        One step can prove several atoms only where they share variables that it binds. A ground atom that is no
        fact takes a step for a rule and, if all its rules have fresh variables, another one.
        """
        steps = 0
        groups: list[set[int]] = []
        for predicate, first, second in state:
            variables = {argument for argument in (first, second) if argument > self._num_constants}
            if not variables:
                steps += self._least_steps_of_ground_atom((predicate, first, second))
                continue
            connected = [group for group in groups if group & variables]
            groups = [group for group in groups if not group & variables]
            groups.append(variables.union(*connected))
        return steps + len(groups)

    def _least_steps_of_ground_atom(self, atom: Atom) -> int:
        if atom in self._facts:
            return 0
        rules = self._rules.get(atom[0], ())
        return 2 if all(rule.num_fresh_variables for rule in rules) else 1

    def _next_variable(self, state: State) -> int:
        """A variable above those in ``state``: for the search the numbers do not matter."""
        return max(self._num_constants, max(max(first, second) for _, first, second in state)) + 1

    def is_proved_at_once(self, state: State, excluded: Atom | None) -> bool:
        """Whether resolving the first goal of ``state`` can leave nothing to prove."""
        goal, remaining = state[0], state[1:]
        return self._is_proved_by_fact(goal, remaining, excluded) or any(
            self._is_proved_by_rule(rule, goal, remaining, excluded) for rule in self._rules.get(goal[0], ())
        )

    def _is_proved_by_fact(self, goal: Atom, remaining: State, excluded: Atom | None) -> bool:
        # A variable that the goal does not bind stays: then something is left to prove.
        return all(
            argument <= self._num_constants or argument in goal[1:]
            for atom in remaining
            for argument in atom[1:]
        ) and self._can_all_be_facts((goal, *remaining), excluded)

    def _can_all_be_facts(self, atoms: State, excluded: Atom | None) -> bool:
        """Whether some binding of the variables makes every one of ``atoms`` a fact other than ``excluded``."""
        fewest: Sequence[Atom] | None = None
        pivot = 0
        for index, atom in enumerate(atoms):
            facts = self._matching_facts(atom)
            if not facts:
                return False
            if fewest is None or len(facts) < len(fewest):
                fewest, pivot = facts, index
        others = atoms[:pivot] + atoms[pivot + 1 :]
        _, first, second = atoms[pivot]
        for fact in fewest or ():
            if fact == excluded or (first == second and fact[1] != fact[2]):
                continue
            bound = {
                argument: constant
                for argument, constant in ((first, fact[1]), (second, fact[2]))
                if argument > self._num_constants
            }
            if not others or self._can_all_be_facts(substitute(others, bound), excluded):
                return True
        return False

    def _matching_facts(self, atom: Atom) -> Sequence[Atom]:
        """The facts that agree with the constants of ``atom``."""
        predicate, first, second = atom
        if first <= self._num_constants:
            if second <= self._num_constants:
                return (atom,) if atom in self._facts else ()
            return self._facts.with_first(predicate, first)
        if second <= self._num_constants:
            return self._facts.with_second(predicate, second)
        return self._facts.with_predicate(predicate)

    def _is_proved_by_rule(self, rule: Rule, goal: Atom, remaining: State, excluded: Atom | None) -> bool:
        # A fresh variable in the body is left to prove.
        if rule.num_fresh_variables:
            return False
        substitution = unify(rule.head, goal, self._num_constants)
        if substitution is None:
            return False
        left = substitute(rule.body, substitution) + substitute(remaining, substitution)
        return all(atom in self._facts and atom != excluded for atom in left)
