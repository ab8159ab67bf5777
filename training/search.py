"""Searches for proofs: the number of steps from a state to its proof, and the actions that lead there.

In: states and the fact that they must not use. Out: the fewest steps to ``[True]`` within a limit. The steps are those
of :class:`proofrank.core.prover.ReferenceProver`, so the search finds no proof that the prover cannot take. Visited
states are not checked, because a shortest proof never passes a state twice.

A goal without a constant is not searched beyond the next step: it matches every fact of its predicate, and the way
through it is hardly ever the shortest.

Nearly all time is spent on whether a state is proved at once, so there is a fast test for it: it follows the bindings
of the first goal and stops at the first remaining atom that is no fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover import Atom, ProverSettings, ReferenceProver, State
from proofrank.core.prover.unification import substitute, unify


class SearchBudgetExceeded(Exception):
    """A search needed more states than its budget."""


@dataclass(frozen=True)
class Targets:
    """The actions of a state that lead to a proof in the fewest steps.

    Attributes:
        steps: number of steps from the state to ``[True]``, at least 1.
        actions: indices of the actions that need no more steps.
    """

    steps: int
    actions: tuple[int, ...]


class ProofSearch:
    """Searches for proofs over one graph under one choice of settings."""

    def __init__(self, dataset: Dataset, settings: ProverSettings, *, budget: int = 20_000) -> None:
        """Makes a search.

        Args:
            dataset: the graph; its train triples are the facts.
            settings: limits on the actions and atoms of a state.
            budget: maximum number of states for one question.
        """
        self.prover = ReferenceProver(dataset, settings)
        self._settings = settings
        self._budget = budget
        self._looked_at = 0
        self._facts = dataset.facts
        self._rules = dataset.rules_by_predicate
        self._num_constants = dataset.vocabulary.num_constants

    def targets(self, actions: Sequence[State], excluded: Atom | None, limit: int) -> Targets | None:
        """Returns the best of a state's ``actions``.

        Args:
            actions: the prover's actions in the state.
            excluded: the fact that must not be used, if there is one.
            limit: maximum number of steps to ``[True]``, counted from the state.

        Returns:
            The best actions; None if there is no proof within the limit.

        Raises:
            SearchBudgetExceeded: the budget does not suffice.
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
        """Returns the fewest steps from ``state`` to ``[True]``; None if they exceed ``limit``.

        Raises:
            SearchBudgetExceeded: the budget does not suffice.
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
        # The prover's own resolvents, because it offers only the first of many.
        resolvents, _ = self.prover.resolvents(state, self._next_variable(state), excluded)
        self._looked_at += len(resolvents)
        if self._looked_at > self._budget:
            raise SearchBudgetExceeded
        return any(self._is_proved_within(resolvent, excluded, steps - 1) for resolvent in resolvents)

    def least_steps(self, state: State) -> int:
        """Returns a lower bound on the steps from ``state`` to ``[True]``, by which the search drops states.

        One step can prove several atoms only if they share variables that it binds. A ground atom that is no fact takes
        a step for a rule and, if all its rules have fresh variables, another one.
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
        """Returns a variable above those in ``state``; its number does not matter to the search."""
        return max(self._num_constants, max(max(first, second) for _, first, second in state)) + 1

    def is_proved_at_once(self, state: State, excluded: Atom | None) -> bool:
        """Returns whether resolving the first goal of ``state`` can leave nothing to prove."""
        goal, remaining = state[0], state[1:]
        return self._is_proved_by_fact(goal, remaining, excluded) or any(
            self._is_proved_by_rule(rule, goal, remaining, excluded) for rule in self._rules.get(goal[0], ())
        )

    def _is_proved_by_fact(self, goal: Atom, remaining: State, excluded: Atom | None) -> bool:
        # A variable that the goal does not bind remains, so something is left to prove.
        return all(
            argument <= self._num_constants or argument in goal[1:]
            for atom in remaining
            for argument in atom[1:]
        ) and self._can_all_be_facts((goal, *remaining), excluded)

    def _can_all_be_facts(self, atoms: State, excluded: Atom | None) -> bool:
        """Returns whether some binding of the variables makes all of ``atoms`` facts other than ``excluded``."""
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
        """Returns the facts that agree with the constants of ``atom``."""
        predicate, first, second = atom
        if first <= self._num_constants:
            if second <= self._num_constants:
                return (atom,) if atom in self._facts else ()
            return self._facts.with_first(predicate, first)
        if second <= self._num_constants:
            return self._facts.with_second(predicate, second)
        return self._facts.with_predicate(predicate)

    def _is_proved_by_rule(self, rule: Rule, goal: Atom, remaining: State, excluded: Atom | None) -> bool:
        # A fresh variable in the body remains to be proved.
        if rule.num_fresh_variables:
            return False
        substitution = unify(rule.head, goal, self._num_constants)
        if substitution is None:
            return False
        left = substitute(rule.body, substitution) + substitute(remaining, substitution)
        return all(atom in self._facts and atom != excluded for atom in left)
