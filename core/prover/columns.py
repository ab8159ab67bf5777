"""Candidates and outcomes by the million: one column for each field, and objects only on request.

Both :class:`Candidates` and :class:`Outcomes` are sequences of objects, so code that uses a few of them needs no
columns; code that processes all of them reads the columns. One object for each would take microseconds to make and
several times the memory of its numbers, and Python's garbage collector would visit all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

import numpy as np

from proofrank.core.graph import Triple
from proofrank.core.prover.outcome import Candidate, Outcome
from proofrank.core.prover.settings import FAILURE_PENALTY

Indices = Sequence[int] | np.ndarray
T = TypeVar("T", covariant=True)


class Columns(Sequence[T]):
    """A sequence that is equal to every sequence of equal items."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class Candidates(Columns[Candidate]):
    """Candidates as columns.

    Attributes:
        triples: ``[C, 3]`` int64: predicate, head, tail.
        is_positive: ``[C]`` bool.
        threshold: ``[C]`` float64.
        is_provable: ``[C]`` bool.
    """

    def __init__(
        self,
        triples: np.ndarray,
        is_positive: np.ndarray,
        threshold: np.ndarray | None = None,
        is_provable: np.ndarray | None = None,
    ) -> None:
        """Columns of candidates; by default every trajectory takes its course."""
        self.triples = triples
        self.is_positive = is_positive
        self.threshold = np.full(len(is_positive), -np.inf) if threshold is None else threshold
        self.is_provable = np.ones(len(is_positive), dtype=bool) if is_provable is None else is_provable

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Candidates:
        """Returns ``candidates`` as columns; unchanged if they are columns already."""
        if isinstance(candidates, Candidates):
            return candidates
        triples = np.array([candidate.triple for candidate in candidates], dtype=np.int64)
        return cls(
            triples.reshape(-1, 3),
            np.array([candidate.is_positive for candidate in candidates], dtype=bool),
            np.array([candidate.threshold for candidate in candidates], dtype=np.float64),
            np.array([candidate.is_provable for candidate in candidates], dtype=bool),
        )

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Returns the candidates of all ``parts``, in order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of([])
        return type(parts[0])(
            *(np.concatenate(columns) for columns in zip(*(part._columns() for part in parts), strict=True))
        )

    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.triples, self.is_positive, self.threshold, self.is_provable

    def with_threshold(self, threshold: np.ndarray, is_provable: np.ndarray) -> Candidates:
        """The same triples with other thresholds ``[C]`` float64, and knowledge of proofs ``[C]`` bool."""
        return Candidates(self.triples, self.is_positive, threshold, is_provable)

    def put(self, indices: Indices, candidates: Candidates) -> None:
        """Puts ``candidates`` in the place of those at ``indices``."""
        for column, values in zip(self._columns(), candidates._columns(), strict=True):
            column[indices] = values

    def taken(self, indices: Indices) -> Candidates:
        """Returns the candidates at ``indices``."""
        return type(self)(*(column[indices] for column in self._columns()))

    def __len__(self) -> int:
        return len(self.is_positive)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> Candidates: ...
    def __getitem__(self, index: int | slice) -> Candidate | Candidates:
        if isinstance(index, slice):
            return type(self)(*(column[index] for column in self._columns()))
        return Candidate(
            Triple._make(self.triples[index].tolist()),
            bool(self.is_positive[index]),
            float(self.threshold[index]),
            bool(self.is_provable[index]),
        )

    def __iter__(self) -> Iterator[Candidate]:
        for triple, is_positive, threshold, is_provable, *_ in zip(
            *(column.tolist() for column in self._columns()), strict=True
        ):
            yield Candidate(Triple._make(triple), is_positive, threshold, is_provable)


class Outcomes(Columns[Outcome]):
    """Outcomes as columns, without traces.

    Attributes:
        success: ``[C]`` bool.
        log_probability: ``[C]`` float64.
        steps: ``[C]`` int64, number of the outcome's actions.
        passes_near_tie: ``[C]`` bool.
        largest_logit: ``[C]`` float64.
        first_action: ``[C]`` int64, place in ``actions`` of the outcome's first action.
        actions: ``[A]`` int32; those of an outcome are contiguous.
        is_pruned: ``[C]`` bool.
    """

    def __init__(
        self,
        success: np.ndarray,
        log_probability: np.ndarray,
        steps: np.ndarray,
        passes_near_tie: np.ndarray,
        largest_logit: np.ndarray,
        first_action: np.ndarray,
        actions: np.ndarray,
        is_pruned: np.ndarray,
    ) -> None:
        self.success = success
        self.log_probability = log_probability
        self.steps = steps
        self.passes_near_tie = passes_near_tie
        self.largest_logit = largest_logit
        self.first_action = first_action
        self.actions = actions
        self.is_pruned = is_pruned

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Outcomes:
        """Returns ``outcomes`` as columns; unchanged if they are columns already."""
        if isinstance(outcomes, Outcomes):
            return outcomes
        steps = np.array([outcome.steps for outcome in outcomes], dtype=np.int64)
        actions = [action for outcome in outcomes for action in outcome.actions]
        if steps.tolist() != [len(outcome.actions) for outcome in outcomes]:
            raise ValueError("an outcome has another number of actions than of steps")
        return cls(
            np.array([outcome.success for outcome in outcomes], dtype=bool),
            np.array([outcome.log_probability for outcome in outcomes], dtype=np.float64),
            steps,
            np.array([outcome.passes_near_tie for outcome in outcomes], dtype=bool),
            np.array([outcome.largest_logit for outcome in outcomes], dtype=np.float64),
            _begins(steps),
            np.array(actions, dtype=np.int32),
            np.array([outcome.is_pruned for outcome in outcomes], dtype=bool),
        )

    @classmethod
    def of_table(
        cls,
        success: np.ndarray,
        log_probability: np.ndarray,
        steps: np.ndarray,
        passes_near_tie: np.ndarray,
        largest_logit: np.ndarray,
        actions: np.ndarray,
        is_pruned: np.ndarray,
    ) -> Outcomes:
        """Makes outcomes from columns, with the actions as a table ``[C, T]`` whose rows hold ``steps`` actions
        each.
        """
        is_taken = np.arange(actions.shape[1]) < steps[:, None]
        return cls(
            success,
            log_probability,
            steps,
            passes_near_tie,
            largest_logit,
            _begins(steps),
            actions[is_taken].astype(np.int32),
            is_pruned,
        )

    @classmethod
    def unprovable(cls, number: int) -> Outcomes:
        """The outcomes of ``number`` candidates that have no proof and were given no trajectory: failures without
        steps.
        """
        zeros = np.zeros(number, dtype=np.int64)
        falsehoods = np.zeros(number, dtype=bool)
        doubles = np.zeros(number, dtype=np.float64)
        actions = np.zeros(0, dtype=np.int32)
        return cls(
            falsehoods, doubles, zeros, falsehoods, doubles, zeros, actions, np.ones(number, dtype=bool)
        )

    @property
    def scores(self) -> np.ndarray:
        """``[C]`` float64, the score of each; see :attr:`Outcome.score`."""
        return self.log_probability - np.where(self.success, 0.0, FAILURE_PENALTY)

    def taken(self, indices: Indices) -> Outcomes:
        """Returns the outcomes at ``indices``."""
        return self._at(np.asarray(indices, dtype=np.int64))

    def own_actions(self) -> np.ndarray:
        """Returns the actions of all outcomes, one outcome after the other, without gaps: ``[sum of steps]`` int32."""
        in_order = np.arange(int(self.steps.sum())) + np.repeat(
            self.first_action - _begins(self.steps), self.steps
        )
        return self.actions[in_order]

    def _at(self, index: slice | np.ndarray) -> Outcomes:
        return Outcomes(
            self.success[index],
            self.log_probability[index],
            self.steps[index],
            self.passes_near_tie[index],
            self.largest_logit[index],
            self.first_action[index],
            self.actions,
            self.is_pruned[index],
        )

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...
    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        if isinstance(index, slice):
            return self._at(index)
        first, steps = int(self.first_action[index]), int(self.steps[index])
        return Outcome(
            success=bool(self.success[index]),
            log_probability=float(self.log_probability[index]),
            steps=steps,
            actions=tuple(self.actions[first : first + steps].tolist()),
            passes_near_tie=bool(self.passes_near_tie[index]),
            largest_logit=float(self.largest_logit[index]),
            is_pruned=bool(self.is_pruned[index]),
        )

    def __iter__(self) -> Iterator[Outcome]:
        actions = self.own_actions().tolist()
        columns = (
            *(self.success, self.log_probability, self.steps, self.passes_near_tie),
            *(self.largest_logit, _begins(self.steps), self.is_pruned),
        )
        for success, log_probability, steps, near_tie, largest_logit, first, is_pruned in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            own = tuple(actions[first : first + steps])
            yield Outcome(success, log_probability, steps, own, near_tie, largest_logit, is_pruned=is_pruned)


def _begins(steps: np.ndarray) -> np.ndarray:
    """Returns the place of each outcome's first action, if the actions are contiguous."""
    return np.cumsum(steps) - steps


class OutcomeTable:
    """Outcomes that arrive in parts and in any order.

    Attributes:
        is_there: ``[C]`` bool, whether each has arrived.
    """

    def __init__(self, number: int) -> None:
        """Makes a table for ``number`` outcomes, none of which has arrived."""
        self.is_there = np.zeros(number, dtype=bool)
        self._success = np.zeros(number, dtype=bool)
        self._log_probability = np.zeros(number, dtype=np.float64)
        self._steps = np.zeros(number, dtype=np.int64)
        self._passes_near_tie = np.zeros(number, dtype=bool)
        self._largest_logit = np.zeros(number, dtype=np.float64)
        self._first_action = np.zeros(number, dtype=np.int64)
        self._is_pruned = np.zeros(number, dtype=bool)
        self._actions: list[np.ndarray] = []
        self._num_actions = 0

    def put(self, indices: Indices, outcomes: Outcomes) -> None:
        """Stores the outcomes of the candidates at ``indices``; earlier ones are replaced."""
        self.is_there[indices] = True
        self._success[indices] = outcomes.success
        self._log_probability[indices] = outcomes.log_probability
        self._steps[indices] = outcomes.steps
        self._passes_near_tie[indices] = outcomes.passes_near_tie
        self._largest_logit[indices] = outcomes.largest_logit
        self._first_action[indices] = _begins(outcomes.steps) + self._num_actions
        self._is_pruned[indices] = outcomes.is_pruned
        self._actions.append(outcomes.own_actions())
        self._num_actions += len(self._actions[-1])

    def outcomes(self) -> Outcomes:
        """Returns all outcomes, once all have arrived; nothing may be added afterwards."""
        actions = np.concatenate(self._actions) if self._actions else np.zeros(0, dtype=np.int32)
        return Outcomes(
            self._success,
            self._log_probability,
            self._steps,
            self._passes_near_tie,
            self._largest_logit,
            self._first_action,
            actions,
            self._is_pruned,
        )
