"""An evaluator that gives a part of its candidates to further processes.

On a CPU the operations of a tick are too small for two threads to share: they would wait for each other at every one,
and beside a busy process nearly always. So each process computes with one thread and has lanes of its own, and all
take candidates from one queue. The evaluation begins at once in the calling process; others join it where it takes so
long that starting them is worth it. An outcome does not depend on who computes it.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait

import numpy as np

from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.parallel.helpers import Blueprint, Helper
from proofrank.core.evaluator.parallel.indexed import Ended, IndexedStream
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.evaluator.work import Work
from proofrank.core.prover import Candidate, CandidateQueue, Outcomes

logger = logging.getLogger("proofrank")

SECONDS_WORTH_A_HELPER = 5.0
"""Time of the rest of an evaluation, by one process, for which a further one is started; that takes 2 to 3 seconds.
An evaluation in parts is expected to take as long again as it has so far."""

_LEAST_GIVEN = 16
"""Minimum number of candidates that are given at once, but for the last ones."""


class ParallelEvaluator:
    """Evaluates in this process and in others; see the module."""

    def __init__(
        self,
        evaluator: Evaluator,
        stream: CandidateStream,
        blueprint: Blueprint,
        num_processes: int,
        *,
        buckets: Sequence[int] = (),
        seconds_worth_a_helper: float = SECONDS_WORTH_A_HELPER,
    ) -> None:
        """Starts no process yet.

        Args:
            evaluator: evaluates in this process.
            stream: the same as a stream.
            blueprint: what further processes make theirs of.
            num_processes: how many may take part, this one included.
            buckets: numbers of lanes of the stream, ascending; none where it has no lanes.
            seconds_worth_a_helper: see ``SECONDS_WORTH_A_HELPER``.
        """
        self._evaluator = evaluator
        self._stream = stream
        self._blueprint = blueprint
        self._num_processes = num_processes
        self._buckets = tuple(buckets)
        self._seconds_worth_a_helper = seconds_worth_a_helper
        # Helpers hold twice as many candidates as they have lanes.
        self._most_at_once = max(1, stream.num_free_slots // 2)
        self._helpers: list[Helper] = []
        self._work_of_ended = Work()
        self._evaluation = 0
        self._seconds_of_ended = 0.0
        self._may_start = True

    @property
    def engine(self) -> str:
        """Name of the engine, the same in all processes."""
        return self._evaluator.engine

    @property
    def num_processes(self) -> int:
        """How many take part now, this one included."""
        return 1 + len(self._helpers)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the further processes."""
        return tuple(helper.process_id for helper in self._helpers)

    @property
    def work(self) -> Work:
        """Work of all processes so far."""
        own: Work = getattr(self._stream, "work", Work())
        return sum((helper.work for helper in self._helpers), own + self._work_of_ended)

    def warm_up(self) -> None:
        """Starts all further processes now, and waits until they can take part: for measurements.

        Raises:
            OSError: one cannot be started.
        """
        while self.num_processes < self._num_processes:
            self._helpers.append(Helper(pickle.dumps(self._blueprint), self.engine))
        while undone := [helper for helper in self._helpers if not helper.is_ready]:
            for helper in undone:
                try:
                    helper.receive()
                except EOFError:
                    self._lose(helper, _SharedEvaluation([], None))

    def close(self) -> None:
        """Ends the further processes; they also end with this object, and with this process."""
        for helper in self._helpers:
            helper.close()
        self._helpers.clear()

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """See :class:`proofrank.core.evaluator.base.Evaluator`; recorded actions are followed in this process alone."""
        if recorded_actions is not None:
            return Outcomes.of(
                self._evaluator.evaluate(
                    candidates, recorded_actions=recorded_actions, on_progress=on_progress
                )
            )
        self._evaluation += 1
        shared = _SharedEvaluation(candidates, on_progress)
        mine = IndexedStream(self._stream)
        try:
            self._run(shared, mine)
        except BaseException:
            mine.drop()
            for helper in self._helpers:
                helper.drop()
            raise
        self._seconds_of_ended += shared.seconds
        return shared.queue.outcomes()

    def _run(self, shared: _SharedEvaluation, mine: IndexedStream) -> None:
        lanes = self._bucket(len(shared.queue))
        while shared.queue.num_left:
            ready = [helper for helper in self._helpers if helper.is_ready]
            # Each keeps its lanes full, and helpers, which wait for an answer, twice as many candidates.
            depth = min(lanes or 1, self._most_at_once)
            for helper in ready:
                indices = shared.take(2 * depth - len(helper.given), 1 + len(ready))
                if len(indices):
                    helper.give(self._evaluation, indices, shared.queue.candidates(indices.tolist()), lanes)
            indices = shared.take(depth + depth // 4 - mine.num_held, 1 + len(ready))
            if len(indices):
                mine.put(indices, shared.queue.candidates(indices.tolist()))
            if mine.num_held:
                shared.put(mine.move(lanes))
            self._hear(shared, 0.0 if mine.num_held else None)
            self._start_helpers(shared)

    def _bucket(self, num_candidates: int) -> int | None:
        """The smallest bucket that holds all candidates, or the largest; None where there are no buckets."""
        if not self._buckets:
            return None
        return next((size for size in self._buckets if size >= num_candidates), self._buckets[-1])

    def _hear(self, shared: _SharedEvaluation, seconds: float | None) -> None:
        """Takes in what helpers say within ``seconds``; None waits for one of those that have candidates."""
        if seconds is None and not any(helper.given for helper in self._helpers):
            return
        by_connection = {helper.connection: helper for helper in self._helpers}
        for connection in wait(list(by_connection), seconds):
            self._hear_one(by_connection[connection], shared)  # pyright: ignore[reportArgumentType]

    def _hear_one(self, helper: Helper, shared: _SharedEvaluation) -> None:
        """Takes in all that ``helper`` has said, for it may have made more looks than this process."""
        try:
            while True:
                said = helper.receive()
                if said is not None:
                    shared.put(said.ended)
                if not helper.connection.poll():
                    return
        except EOFError:
            self._lose(helper, shared)

    def _lose(self, helper: Helper, shared: _SharedEvaluation) -> None:
        """Goes on without ``helper``, whose candidates are proved by others."""
        self._helpers.remove(helper)
        self._work_of_ended += helper.work
        status = helper.close()
        if helper.given:
            logger.warning(
                "a process of the evaluation ended with status %d; its %d candidates are proved by others",
                status,
                len(helper.given),
            )
        shared.queue.give_back(sorted(helper.given))
        # The cause of one helper's end may end the next one.
        self._may_start = False

    def _start_helpers(self, shared: _SharedEvaluation) -> None:
        """Starts further processes if the rest takes long enough."""
        is_over = not shared.queue.num_left
        if is_over or not self._may_start or self.num_processes == self._num_processes:
            return
        num_ready = 1 + sum(helper.is_ready for helper in self._helpers)
        expected = max(shared.seconds_left(num_ready), self._seconds_of_ended)
        num_worth = int(expected / self._seconds_worth_a_helper)
        num_wanted = min(self._num_processes - 1, num_worth)
        if len(self._helpers) >= num_wanted:
            return
        try:
            blueprint = pickle.dumps(self._blueprint)
            while len(self._helpers) < num_wanted:
                self._helpers.append(Helper(blueprint, self.engine))
        except Exception as error:  # what cannot be pickled may raise anything
            logger.warning("no further process can take part in the evaluation: %s", error)
            self._may_start = False


class _SharedEvaluation:
    """The candidates of an evaluation, its progress, and how long the rest takes."""

    def __init__(self, candidates: Sequence[Candidate], on_progress: Callable[[int], None] | None) -> None:
        self.queue = CandidateQueue(candidates)
        self._on_progress = on_progress
        self._began = time.monotonic()

    @property
    def _num_done(self) -> int:
        return len(self.queue) - self.queue.num_left

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.monotonic() - self._began

    def seconds_left(self, num_processes: int) -> float:
        """How long one process would take for the rest, if ``num_processes`` have done what is done."""
        if not self._num_done:
            return 0.0
        return self.seconds * num_processes * self.queue.num_left / self._num_done

    def take(self, room: int, num_processes: int) -> np.ndarray:
        """Takes candidates for a process with ``room``, such that the last ones are shared by all.

        Returns:
            ``[n]`` int64, their places.
        """
        num_ready = self.queue.num_ready
        number = min(room, max(_LEAST_GIVEN, -(-num_ready // num_processes)))
        return np.array(self.queue.take(max(0, number)), dtype=np.int64)

    def put(self, ended: Ended) -> None:
        """Stores what is done. Raises EvaluationError if a candidate cannot be evaluated exactly."""
        for error in ended.errors:
            raise error
        self.queue.put(ended.indices.tolist(), ended.outcomes)
        if self._on_progress is not None:
            self._on_progress(self._num_done)
