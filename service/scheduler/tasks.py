"""A task: the candidates of one request, or of one chunk of a job, on their way through the evaluator."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import NamedTuple

from proofrank.core.errors import ProofrankError
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, CandidateQueue, Candidates, Outcomes


class DeadlineError(ProofrankError):
    """The task's deadline has passed."""


class FaultError(ProofrankError):
    """The evaluator failed while it ran this task alone."""


class StoppedError(ProofrankError):
    """The scheduler stopped before the task was done."""


@dataclass(frozen=True)
class Finished:
    """The result of a task, and its times in seconds.

    Attributes:
        outcomes: outcomes of the candidates, in order.
        queue_seconds: time from submission to the first tick.
        first_result_seconds: time from submission to the first candidate done.
        execution_seconds: time from the first tick to the last.
    """

    outcomes: Outcomes
    queue_seconds: float
    first_result_seconds: float
    execution_seconds: float


class TimesSoFar(NamedTuple):
    """The times of a task so far, in seconds; None for what has not happened yet.

    Attributes:
        queue_seconds: time from submission to the first tick, or until now if there was none.
        first_result_seconds: time from submission to the first candidate done.
        execution_seconds: time from the first tick until now.
    """

    queue_seconds: float
    first_result_seconds: float | None
    execution_seconds: float | None


class Task:
    """A task. After its submission it belongs to the scheduler's thread, except for ``future``.

    Attributes:
        policy: policy that proves the candidates.
        is_job: whether it yields to requests.
        deadline: latest end by ``time.monotonic()``, or None.
        future: receives the result; cancelling it drops the task.
        is_suspect: whether the evaluator failed while it ran, so that it must run alone.
        slots: candidates in progress: slot in the evaluator -> index of the candidate, the oldest first.
        ticks_waited: number of ticks in which it had a turn but no lane.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate] | CandidateQueue,
        policy: Policy,
        *,
        is_job: bool = False,
        deadline: float | None = None,
    ) -> None:
        """A task that proves ``candidates``, each as soon as their queue has it ready."""
        self.policy = policy
        self.is_job = is_job
        self.deadline = deadline
        self.future: Future[Finished] = Future()
        self.is_suspect = False
        self.slots: dict[int, int] = {}
        self.ticks_waited = 0
        self._queue = candidates if isinstance(candidates, CandidateQueue) else CandidateQueue(candidates)
        self._submitted = time.monotonic()
        self._began: float | None = None
        self._first_result: float | None = None

    @property
    def model(self) -> object:
        """What is known of the proofs that its candidates may have; None for nothing."""
        return self._queue.model

    @property
    def num_remaining(self) -> int:
        """Number of candidates that are not done."""
        return self._queue.num_left

    @property
    def num_waiting(self) -> int:
        """Number of candidates that may be submitted."""
        return self._queue.num_ready

    @property
    def num_open(self) -> int:
        """Number of candidates that have a lane or may have one; what waits for its positive may not."""
        return self._queue.num_ready + len(self.slots)

    @property
    def times_so_far(self) -> TimesSoFar:
        """Returns the times until now; may be called from any thread."""
        now, began, first_result = time.monotonic(), self._began, self._first_result
        return TimesSoFar(
            (now if began is None else began) - self._submitted,
            None if first_result is None else first_result - self._submitted,
            None if began is None else now - began,
        )

    def take(self, number: int) -> list[int]:
        """Takes the next candidates, at most ``number``, and returns their indices."""
        if self._began is None:
            self._began = time.monotonic()
        return self._queue.take(number)

    def candidates(self, indices: Sequence[int]) -> Candidates:
        """Returns the candidates of these indices."""
        return self._queue.candidates(indices)

    def give_back(self, slots: Sequence[int]) -> None:
        """Returns the candidates in ``slots``, which are no longer in progress, to those that wait."""
        self._queue.give_back([self.slots.pop(slot) for slot in slots])

    def begin_again(self) -> None:
        """Returns every unfinished candidate that was taken to those that wait, submitted or not."""
        self.slots.clear()
        self._queue.begin_again()

    def record(self, slots: Sequence[int], outcomes: Outcomes) -> None:
        """Stores the outcomes of the candidates in ``slots``; the last one ends the task."""
        if self._first_result is None:
            self._first_result = time.monotonic()
        self._queue.put([self.slots.pop(slot) for slot in slots], outcomes)
        if not self._queue.num_left:
            self.finish()

    def finish(self) -> None:
        """Ends the task with its outcomes."""
        now = time.monotonic()
        began = self._began if self._began is not None else now
        first = self._first_result if self._first_result is not None else now
        finished = Finished(
            self._queue.outcomes(),
            queue_seconds=began - self._submitted,
            first_result_seconds=first - self._submitted,
            execution_seconds=now - began,
        )
        try:
            self.future.set_result(finished)
        except InvalidStateError:
            return  # cancelled at this moment

    def fail(self, error: Exception) -> None:
        """Ends the task with an error."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return
