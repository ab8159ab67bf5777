"""Candidates in a stream, each known by its place in the evaluation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.options import TICKS_PER_LOOK
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.prover import Candidates, Outcomes


class Ended(NamedTuple):
    """What a look has found.

    Attributes:
        indices: ``[n]`` int64, places of the candidates that are done.
        outcomes: ``[n]``, theirs.
        errors: of candidates that cannot be evaluated exactly.
    """

    indices: np.ndarray
    outcomes: Outcomes
    errors: tuple[EvaluationError, ...]


class IndexedStream:
    """A stream that is given candidates with their places, and tells outcomes with their places."""

    def __init__(self, stream: CandidateStream) -> None:
        """Wraps a ``stream`` that holds no candidates and has no other user meanwhile."""
        self._stream = stream
        self._index_of_slot: dict[int, int] = {}

    @property
    def num_held(self) -> int:
        """How many candidates are not done."""
        return len(self._index_of_slot)

    def put(self, indices: np.ndarray, candidates: Candidates) -> None:
        """Takes ``candidates`` ``[n]`` with their places ``indices`` ``[n]``; at most as many as have room."""
        slots = self._stream.submit(candidates)
        self._index_of_slot.update(zip(slots, indices.tolist(), strict=True))

    def move(self, num_lanes: int | None) -> Ended:
        """Runs some ticks on ``num_lanes`` lanes, and takes out what is done."""
        self._stream.advance(TICKS_PER_LOOK, num_lanes)
        collected = self._stream.collect()
        indices = [self._index_of_slot.pop(slot) for slot in collected.slots.tolist()]
        for slot, _ in collected.errors:
            del self._index_of_slot[slot]
        errors = tuple(error for _, error in collected.errors)
        return Ended(np.array(indices, dtype=np.int64), collected.outcomes, errors)

    def drop(self) -> None:
        """Drops all candidates."""
        self._stream.cancel(list(self._index_of_slot))
        self._index_of_slot.clear()
