"""What a scheduler needs of an evaluator: submit, advance, collect, cancel; and the reference behind the same verbs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol, overload

import numpy as np

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome, Outcomes, ProverSettings
from proofrank.core.prover.columns import Columns


class Collected(Columns[tuple[int, Outcome | EvaluationError]]):
    """Finished candidates with their slots: the outcomes, and after them the errors.

    Attributes:
        slots: ``[n]`` int64, of the outcomes.
        outcomes: ``[n]``.
        errors: with the slot of each.
    """

    def __init__(
        self, slots: np.ndarray, outcomes: Outcomes, errors: Sequence[tuple[int, EvaluationError]] = ()
    ) -> None:
        self.slots = slots
        self.outcomes = outcomes
        self.errors = errors

    @classmethod
    def of(cls, done: Iterable[tuple[int, Outcome | EvaluationError]]) -> Collected:
        """Of outcomes and errors one by one."""
        slots: list[int] = []
        outcomes: list[Outcome] = []
        errors: list[tuple[int, EvaluationError]] = []
        for slot, outcome in done:
            if isinstance(outcome, EvaluationError):
                errors.append((slot, outcome))
            else:
                slots.append(slot)
                outcomes.append(outcome)
        return cls(np.array(slots, dtype=np.int64), Outcomes.of(outcomes), errors)

    def __len__(self) -> int:
        return len(self.slots) + len(self.errors)

    @overload
    def __getitem__(self, index: int) -> tuple[int, Outcome | EvaluationError]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[int, Outcome | EvaluationError]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[int, Outcome | EvaluationError] | Sequence[tuple[int, Outcome | EvaluationError]]:
        return list(self)[index]

    def __iter__(self) -> Iterator[tuple[int, Outcome | EvaluationError]]:
        yield from zip(self.slots.tolist(), self.outcomes, strict=True)
        yield from self.errors


class CandidateStream(Protocol):
    """Candidates go in, are moved, and come out with their outcomes, each under the policy that it came in with."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    @property
    def num_free_slots(self) -> int:
        """How many candidates can be submitted now."""
        ...

    def submit(self, candidates: Sequence[Candidate]) -> list[int]:
        """Takes candidates, to be proved by the loaded policy; gives the slot of each, by which it is known."""
        ...

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """Moves the candidates in the slots ``only`` that the loaded policy has to prove."""
        ...

    def collect(self) -> Collected:
        """Takes out what is done, with its slot.

        To avoid waiting, it may return what was done at the call before. A caller that stops advancing calls it once
        more, and gets all that is done.
        """
        ...

    def cancel(self, slots: Sequence[int]) -> None:
        """Drops candidates."""
        ...

    def load_policy(self, policy: Policy) -> None:
        """Changes the policy for what is submitted from now on."""
        ...


class OriginalStream:
    """The reference as a stream: a tick proves one candidate."""

    engine = "original"

    def __init__(
        self, dataset: Dataset, policy: Policy, settings: ProverSettings, *, num_slots: int = 64
    ) -> None:
        """A stream with the loaded ``policy`` that takes ``num_slots`` candidates at once."""
        self._dataset = dataset
        self._settings = settings
        self._num_slots = num_slots
        self._evaluator = ReferenceEvaluator(dataset, policy, settings)
        self._waiting: dict[int, tuple[Candidate, ReferenceEvaluator]] = {}
        self._done: dict[int, Outcome | EvaluationError] = {}
        self._next_slot = 0

    @property
    def num_free_slots(self) -> int:
        """See :class:`CandidateStream`."""
        return self._num_slots - len(self._waiting) - len(self._done)

    def submit(self, candidates: Sequence[Candidate]) -> list[int]:
        """See :class:`CandidateStream`."""
        if len(candidates) > self.num_free_slots:
            raise EvaluationError(f"{len(candidates)} candidates for {self.num_free_slots} free slots")
        slots = list(range(self._next_slot, self._next_slot + len(candidates)))
        self._next_slot += len(candidates)
        for slot, candidate in zip(slots, candidates, strict=True):
            self._waiting[slot] = (candidate, self._evaluator)
        return slots

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """See :class:`CandidateStream`; there are no lanes."""
        movable = [
            slot
            for slot, (_, evaluator) in self._waiting.items()
            if evaluator is self._evaluator and (only is None or slot in only)
        ]
        for slot in movable[:num_ticks]:
            candidate, evaluator = self._waiting.pop(slot)
            try:
                self._done[slot] = evaluator.prove(candidate)
            except EvaluationError as error:
                self._done[slot] = error

    def collect(self) -> Collected:
        """See :class:`CandidateStream`."""
        done, self._done = self._done, {}
        return Collected.of(done.items())

    def cancel(self, slots: Sequence[int]) -> None:
        """See :class:`CandidateStream`."""
        for slot in slots:
            self._waiting.pop(slot, None)
            self._done.pop(slot, None)

    def load_policy(self, policy: Policy) -> None:
        """See :class:`CandidateStream`."""
        if policy is self._evaluator.policy:
            return
        # Candidates that wait under a policy that is loaded again go on with the evaluator that they came with.
        known = (evaluator for _, evaluator in self._waiting.values() if evaluator.policy is policy)
        self._evaluator = next(known, None) or ReferenceEvaluator(self._dataset, policy, self._settings)
