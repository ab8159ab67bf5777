"""The fewest steps in which any policy can prove a triple.

Breadth-first search through the states of the reference prover. A trajectory may not come back to a state that it has
visited; the search leaves this out, so that the states to come depend on the present one alone, up to the names of
its variables. It thus finds no more steps than a trajectory needs. Then the path is walked by the prover's own rules:
if they allow it, its number of steps is the fewest.

States with an atom outside of the least model are not followed: they cannot be proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from proofrank.core.errors import EvaluationError
from proofrank.core.formats.depths import UNPROVABLE
from proofrank.core.graph import Dataset, Triple
from proofrank.core.provability import LeastModel
from proofrank.core.prover import ProverSettings, ReferenceProver
from proofrank.core.prover.outcome import Atom, State

DEFAULT_MAX_STATES = 20_000
"""Number of states of one triple after which the search ends by default."""

_REMEMBERED_ROWS = 500
"""Number of rows of the least model that are kept at hand."""


@dataclass(frozen=True)
class ProofDepth:
    """Bounds of the fewest steps that prove a triple.

    Attributes:
        at_least: no trajectory of fewer steps proves it; None if none proves it at all.
        at_most: a trajectory of this many steps does; None if none is known.
    """

    at_least: int | None
    at_most: int | None

    @property
    def steps(self) -> int | None:
        """The fewest steps, if they are known."""
        return self.at_most if self.at_least == self.at_most else None

    @property
    def is_provable(self) -> bool | None:
        """Whether a policy can prove it; None if that is not known."""
        if self.at_least is None:
            return False
        return True if self.at_most is not None else None

    @property
    def name(self) -> str:
        """The number of steps, ``more than N`` (or ``N to M``), or ``unprovable``."""
        if self.at_least is None:
            return UNPROVABLE
        if self.at_most is None:
            return f"more than {self.at_least - 1}"
        return str(self.at_most) if self.steps is not None else f"{self.at_least} to {self.at_most}"


class DepthSearch:
    """Finds the fewest steps of triples of one graph."""

    def __init__(
        self,
        dataset: Dataset,
        settings: ProverSettings,
        model: LeastModel,
        *,
        max_states: int = DEFAULT_MAX_STATES,
    ) -> None:
        """A search on ``dataset``.

        Args:
            dataset: the graph.
            settings: of the prover.
            model: of the graph, or a superset.
            max_states: number of states of one triple after which the search ends.

        Raises:
            EvaluationError: ``settings`` skip single actions, which makes steps depend on what was visited.
        """
        if settings.skip_unary_actions:
            raise EvaluationError(
                "skip_unary_actions is on; expected off: fewest steps are not known with it"
            )
        self._settings = settings
        self._max_states = max_states
        self._model = model
        self._num_constants = dataset.vocabulary.num_constants
        self._first_variable = dataset.vocabulary.first_variable_index
        self._prover = ReferenceProver(dataset, settings)
        self._row = lru_cache(maxsize=_REMEMBERED_ROWS)(model.completions)

    def depth(self, triple: Triple, *, is_positive: bool = True) -> ProofDepth:
        """The fewest steps that prove ``triple``.

        Args:
            triple: to prove.
            is_positive: whether it is the positive of its query, which is never a fact in its own proof.
        """
        start: State = (tuple(triple),)  # pyright: ignore[reportAssignmentType]
        excluded = start[0] if is_positive else None
        if not self._is_possible(start):
            return ProofDepth(None, None)
        parents: dict[State, State | None] = {start: None}
        level, shortest = [start], None
        for steps in range(1, self._settings.max_depth + 1):
            below: list[State] = []
            for state in level:
                states = self._after(state, excluded)
                if states == [self._prover.true_state]:
                    shortest = steps if shortest is None else shortest
                    if self._is_trajectory(_path(state, parents), excluded):
                        return ProofDepth(shortest, steps)
                    continue
                for following in states:
                    if following not in parents:
                        parents[following] = state
                        below.append(following)
                if len(parents) > self._max_states:
                    # This level is not searched to its end: a proof of as many steps may be left in it.
                    return ProofDepth(steps if shortest is None else shortest, None)
            if not below:
                return ProofDepth(shortest, None)
            level = below
        return ProofDepth(self._settings.max_depth + 1 if shortest is None else shortest, None)

    def _after(self, state: State, excluded: Atom | None) -> list[State]:
        """The states after ``state`` that may be proved, their variables named in order."""
        next_variable = self._first_variable + len({*_variables(state, self._num_constants)})
        states, _ = self._prover.resolvents(state, next_variable, excluded)
        if states == [self._prover.true_state]:
            return states
        return [
            self._renamed(following)
            for following in states
            if len(following) <= self._settings.padding_atoms
            and following != self._prover.false_state
            and self._is_possible(following)
        ]

    def _renamed(self, state: State) -> State:
        """The state with its variables numbered as they appear."""
        number_of: dict[int, int] = {}
        for variable in _variables(state, self._num_constants):
            number_of.setdefault(variable, self._first_variable + len(number_of))
        return tuple(
            (predicate, number_of.get(first, first), number_of.get(second, second))
            for predicate, first, second in state
        )

    def _is_possible(self, state: State) -> bool:
        return all(map(self._may_hold, state))

    def _may_hold(self, atom: Atom) -> bool:
        """Whether the model has an instance of ``atom``, as far as its constants tell."""
        predicate, first, second = atom
        if first <= self._num_constants:
            row = self._row(predicate, "tail", first)
            return _is_in(second, row) if second <= self._num_constants else len(row) > 0
        return second > self._num_constants or len(self._row(predicate, "head", second)) > 0

    def _is_trajectory(self, path: Sequence[State], excluded: Atom | None) -> bool:
        """Whether the prover's own rules lead along ``path`` to a proof."""
        state, next_variable = path[0], self._first_variable
        visited: set[frozenset[Atom]] = {frozenset(state)}
        for following in path[1:]:
            actions = self._prover.actions(state, next_variable, visited, excluded)
            found = next((after for after in actions.states if self._renamed(after) == following), None)
            if found is None:
                return False
            state, next_variable = found, actions.next_variable
        return self._prover.true_state in self._prover.actions(state, next_variable, visited, excluded).states


def _variables(state: State, num_constants: int) -> list[int]:
    return [argument for atom in state for argument in atom[1:] if argument > num_constants]


def _path(state: State, parents: dict[State, State | None]) -> list[State]:
    """The states from the first one to ``state``."""
    path = [state]
    while (parent := parents[path[-1]]) is not None:
        path.append(parent)
    return path[::-1]


def _is_in(value: int, ascending: np.ndarray) -> bool:
    place = int(np.searchsorted(ascending, value))
    return place < len(ascending) and int(ascending[place]) == value
