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
    """

    def __init__(self, triples: np.ndarray, is_positive: np.ndarray) -> None:
        self.triples = triples
        self.is_positive = is_positive

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Candidates:
        """Returns ``candidates`` as columns; unchanged if they are columns already."""
        if isinstance(candidates, Candidates):
            return candidates
        triples = np.array([candidate.triple for candidate in candidates], dtype=np.int64)
        is_positive = np.array([candidate.is_positive for candidate in candidates], dtype=bool)
        return cls(triples.reshape(-1, 3), is_positive)

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Returns the candidates of all ``parts``, in order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of([])
        return cls(
            np.concatenate([part.triples for part in parts]),
            np.concatenate([part.is_positive for part in parts]),
        )

    def taken(self, indices: Indices) -> Candidates:
        """Returns the candidates at ``indices``."""
        return Candidates(self.triples[indices], self.is_positive[indices])

    def __len__(self) -> int:
        return len(self.is_positive)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> Candidates: ...
    def __getitem__(self, index: int | slice) -> Candidate | Candidates:
        if isinstance(index, slice):
            return Candidates(self.triples[index], self.is_positive[index])
        return Candidate(Triple._make(self.triples[index].tolist()), bool(self.is_positive[index]))

    def __iter__(self) -> Iterator[Candidate]:
        for triple, is_positive in zip(self.triples.tolist(), self.is_positive.tolist(), strict=True):
            yield Candidate(Triple._make(triple), is_positive)


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
    ) -> None:
        self.success = success
        self.log_probability = log_probability
        self.steps = steps
        self.passes_near_tie = passes_near_tie
        self.largest_logit = largest_logit
        self.first_action = first_action
        self.actions = actions

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
        )

    def __iter__(self) -> Iterator[Outcome]:
        actions = self.own_actions().tolist()
        columns = (
            *(self.success, self.log_probability, self.steps),
            *(self.passes_near_tie, self.largest_logit, _begins(self.steps)),
        )
        for success, log_probability, steps, near_tie, largest_logit, first in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            own = tuple(actions[first : first + steps])
            yield Outcome(success, log_probability, steps, own, near_tie, largest_logit)


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
        )
