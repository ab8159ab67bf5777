"""The thread that owns the evaluator: it takes tasks, gives them lanes, moves the lanes and returns outcomes.

Tasks of different policies take turns. An error of the evaluator costs only the task that caused it: the evaluator is
made again, and the tasks that were running continue one at a time.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

import numpy as np

from proofrank.core.evaluator import Work
from proofrank.core.evaluator.base import TakesModel
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidates
from proofrank.service.scheduler.fair_shares import LANES_PER_TASK, Demand, moving_lanes
from proofrank.service.scheduler.tasks import DeadlineError, FaultError, StoppedError, Task
from proofrank.service.scheduler.turns import Turns

logger = logging.getLogger("proofrank")

TURN_SECONDS = 0.25
JOB_TURN_SECONDS = 0.05
"""Length of a policy's turn while tasks of another wait, in seconds; the second if all of its tasks are jobs."""

PATIENT_TICKS = 8
"""Number of ticks that a task without a lane waits for free lanes before it takes some from other tasks, whose
trajectories then begin again.
"""

LOOK_SECONDS = 0.2
"""Time between two snapshots while the scheduler is busy, in seconds; reading the counters waits for the device."""


@dataclass(frozen=True)
class Lanes:
    """The lanes of an evaluator and the cost of a tick.

    Attributes:
        buckets: numbers of lanes, ascending.
        is_cost_by_lane: whether a tick costs what its moving lanes cost, as on a CPU without padding.
        ticks_per_look: number of ticks between two collections of outcomes.
        gather_seconds: time that an idle scheduler waits for more tasks after the first.
    """

    buckets: tuple[int, ...]
    is_cost_by_lane: bool
    ticks_per_look: int = 1
    gather_seconds: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """The state of the scheduler at one moment.

    Attributes:
        work: counters of this evaluator and of those that failed before it; None if it has no counters.
        num_tasks: number of tasks that wait or run.
        num_in_flight: number of candidates that have a lane.
        num_lanes: number of lanes of the bucket in use.
    """

    work: Work | None
    num_tasks: int
    num_in_flight: int
    num_lanes: int


class Scheduler:
    """Runs tasks on one evaluator; :meth:`submit` may be called from any thread.

    Attributes:
        snapshot: its state at the last look.
        busy_seconds: time of all ticks so far, in seconds.
    """

    def __init__(
        self,
        make: Callable[[Exception | None], tuple[CandidateStream, Lanes]],
        turns: Turns | None = None,
    ) -> None:
        """Makes a scheduler that is not started.

        Args:
            make: makes the evaluator and describes its lanes. It is called with None at the start, and with the fault
                after a failure. It runs in the thread that will use the evaluator, because recorded CUDA graphs belong
                to a thread.
            turns: turns among the schedulers that share the device; None for the only one.
        """
        self._make = make
        self._turns = turns if turns is not None else Turns()
        self._stream: CandidateStream
        self._lanes: Lanes
        self._started: Future[None] = Future()
        self._tasks: list[Task] = []
        self._inbox: list[Task] = []
        self._has_news = threading.Condition()
        self._is_stopping = False
        self._policy: Policy | None = None
        self._turn_ends = 0.0
        self._with_turn: list[Task] = []
        self._next_look = 0.0
        self._num_lanes = 0
        self._work_before = Work()
        self.snapshot = Snapshot(None, 0, 0, 0)
        self.busy_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="evaluator", daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Whether it has been told to stop; may be asked from any thread."""
        return self._is_stopping

    def start(self) -> None:
        """Starts the thread; returns when the evaluator is made, and raises what making it raises."""
        self._thread.start()
        self._started.result()

    def submit(self, task: Task) -> None:
        """Takes a task; the task's future gives its end."""
        with self._has_news:
            if self._is_stopping:
                task.fail(StoppedError("the server is stopping"))
                return
            self._inbox.append(task)
            self._has_news.notify()

    def stop(self, patience_seconds: float | None = None) -> bool:
        """Ends the thread; unfinished tasks fail at once with ``StoppedError``.

        Args:
            patience_seconds: maximum time to wait for the thread, which first finishes its tick or the evaluator that
                it is making; None to wait without limit.

        Returns:
            Whether the thread has ended.
        """
        with self._has_news:
            self._is_stopping = True
            undone = (*self._tasks, *self._inbox)
            self._has_news.notify()
        self._turns.leave(self)
        _fail_as_stopped(undone)
        if self._thread.is_alive():
            self._thread.join(patience_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._begin(None)
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        try:
            while self._receive():
                try:
                    self._drop_ended()
                    if self._tasks:
                        self._turns.take(self, self._turn_seconds(self._tasks))
                        began = time.monotonic()
                        self._tick()
                        self.busy_seconds += time.monotonic() - began
                    self._look()
                except Exception as fault:
                    self._recover(fault)
        except Exception:
            if not self._is_stopping:
                logger.critical("the evaluator cannot be made again; the scheduler ends", exc_info=True)
        finally:
            # However the thread ends, no task may wait for ever.
            with self._has_news:
                self._is_stopping = True
            self._turns.leave(self)
            _fail_as_stopped((*self._tasks, *self._inbox))
            # Its memory is given back with the thread, even if something still holds the scheduler.
            self.__dict__.pop("_stream", None)

    def _begin(self, fault: Exception | None) -> None:
        """Makes the evaluator."""
        # Taken from the last snapshot, because reading the failed evaluator may fail too.
        self._work_before = self.snapshot.work or Work()
        self._stream, self._lanes = self._make(fault)
        self._num_lanes = self._lanes.buckets[0]
        self.snapshot = Snapshot(self._work(), len(self._tasks), 0, self._num_lanes)

    def _receive(self) -> bool:
        """Takes in new tasks, and waits for one if there are none; returns False when the scheduler stops."""
        with self._has_news:
            if not self._tasks and not self._inbox:
                self._turns.leave(self)
                self._has_news.wait_for(lambda: self._inbox or self._is_stopping)
                ends = time.monotonic() + self._lanes.gather_seconds
                while not self._is_stopping and (left := ends - time.monotonic()) > 0:
                    self._has_news.wait(left)
            self._tasks.extend(self._inbox)
            self._inbox.clear()
            return not self._is_stopping

    def _drop_ended(self) -> None:
        """Frees the lanes of tasks that are done, cancelled or late."""
        now = time.monotonic()
        for task in self._tasks:
            if task.num_remaining == 0 and not task.future.done():
                task.finish()  # it has no candidates
            if task.deadline is not None and now > task.deadline and not task.future.done():
                task.fail(DeadlineError(f"{task.num_remaining} candidates were not done at the deadline"))
        # Computed once: a future that is cancelled between two looks would leave its lanes behind.
        ended = [task for task in self._tasks if task.future.done()]
        for task in ended:
            if task.slots:
                self._stream.cancel(list(task.slots))
                task.slots.clear()
        gone = {id(task) for task in ended}
        self._tasks = [task for task in self._tasks if id(task) not in gone]
        # The next tick, which chooses tasks again, may come late.
        self._with_turn = [task for task in self._with_turn if id(task) not in gone]

    def _tick(self) -> None:
        """Loads a policy, gives lanes to its tasks, moves them and returns outcomes."""
        num_lanes = self._choose_bucket()
        is_outgrown = self._is_outgrown(num_lanes)
        policies = self._policies(with_lanes_only=is_outgrown)
        policy = self._choose_policy(policies)
        self._with_turn = self._choose_tasks(policy)
        self._stream.load_policy(policy)
        # Each policy has its own part of the lanes; otherwise none would keep lanes until its trajectories end.
        shares = moving_lanes(
            [Demand(task.num_open, task.is_job) for task in self._with_turn],
            max(1, num_lanes // len(policies)),
            is_cost_by_lane=self._lanes.is_cost_by_lane,
        )
        if is_outgrown:
            # All lanes of the policy move, even beyond the shares, or they would never become empty.
            moving = {slot for task in self._tasks if task.policy is policy for slot in task.slots}
        else:
            self._fill(shares, num_lanes, len(policies))
            moving = self._moving(shares)
        self._stream.advance(self._lanes.ticks_per_look, num_lanes, only=moving)
        self._hand_out()

    def _policies(self, *, with_lanes_only: bool) -> list[Policy]:
        """Returns the policies of the tasks that may run; ``with_lanes_only``, of those tasks that have lanes.

        Before a change of bucket no lanes are given out, so a policy without lanes would waste its turn.
        """
        tasks = self._queue()
        return list(
            {id(task.policy): task.policy for task in tasks if task.slots or not with_lanes_only}.values()
        )

    def _choose_policy(self, policies: list[Policy]) -> Policy:
        """Returns the policy whose turn it is; the next one if the turn is over."""
        now = time.monotonic()
        if self._policy in policies and (len(policies) == 1 or now < self._turn_ends):
            return self._policy
        # A policy that no task has any more counts as the one before the first.
        current = policies.index(self._policy) if self._policy in policies else -1
        policy = policies[(current + 1) % len(policies)]
        self._policy = policy
        self._turn_ends = now + self._turn_seconds(task for task in self._queue() if task.policy is policy)
        return policy

    @staticmethod
    def _turn_seconds(tasks: Iterable[Task]) -> float:
        """Returns the length of a turn of these tasks, in seconds."""
        return TURN_SECONDS if any(not task.is_job for task in tasks) else JOB_TURN_SECONDS

    def _queue(self) -> list[Task]:
        """Returns the tasks that may run: all, or one alone while there are suspects."""
        suspect = next((task for task in self._tasks if task.is_suspect), None)
        return self._tasks if suspect is None else [suspect]

    def _choose_tasks(self, policy: Policy) -> list[Task]:
        """Returns the tasks of a policy that get lanes, the oldest first.

        These are all tasks if the lanes suffice; otherwise the oldest and the shortest, so that a small task does not
        wait for large ones, and no task waits for ever.
        """
        queue = [task for task in self._queue() if task.policy is policy]
        most = max(2, self._lanes.buckets[-1] // LANES_PER_TASK)
        if len(queue) <= most:
            return queue
        # Requests come before jobs; only one job keeps its turn, so that it advances.
        chosen = {id(task) for task in [task for task in queue if task.is_job][:1]}
        oldest = sorted(queue, key=lambda task: task.is_job)
        shortest = sorted(queue, key=lambda task: (task.is_job, task.num_open))
        for pair in zip(oldest, shortest, strict=True):
            for task in pair:
                if len(chosen) < most:
                    chosen.add(id(task))
        return [task for task in queue if id(task) in chosen]

    def _choose_bucket(self) -> int:
        """Returns the smallest bucket that fits; the bucket changes only when no lane is in use."""
        if not any(task.slots for task in self._tasks):
            wanted = sum(task.num_open for task in self._tasks)
            buckets = self._lanes.buckets
            self._num_lanes = next((size for size in buckets if size >= wanted), buckets[-1])
        return self._num_lanes

    def _is_outgrown(self, num_lanes: int) -> bool:
        """Returns whether a larger bucket is needed, so that the lanes must run empty."""
        return (
            num_lanes < self._lanes.buckets[-1]
            and any(task.slots for task in self._tasks)
            and sum(task.num_open for task in self._tasks) > num_lanes
        )

    def _fill(self, shares: list[int], num_lanes: int, num_policies: int) -> None:
        """Submits candidates of the tasks that have a turn and fewer lanes than their share."""
        wanted = [
            max(0, min(share - len(task.slots), task.num_waiting))
            for task, share in zip(self._with_turn, shares, strict=True)
        ]
        num_free = num_lanes - sum(len(task.slots) for task in self._tasks)
        # Tasks without a lane come first.
        order = sorted(zip(self._with_turn, wanted, strict=True), key=lambda pair: bool(pair[0].slots))
        newcomers = [(task, number) for task, number in order if not task.slots and number > 0]
        # Waiting is useless if no task with a turn moves, because then no lane becomes free.
        patience = PATIENT_TICKS if any(task.slots for task in self._with_turn) else 0
        impatient = [number for task, number in newcomers if task.ticks_waited >= patience]
        # Only as many lanes as a task begins with; more become free while these move.
        by_newcomers = sum(min(number, LANES_PER_TASK) for number in impatient)
        if num_free < by_newcomers:
            num_free += self._take_back(by_newcomers - num_free, shares, num_lanes // num_policies)
        num_free = min(num_free, self._stream.num_free_slots)
        taken: list[tuple[Task, list[int]]] = []
        for task, number in order:
            number = min(number, num_free)
            if number > 0:
                taken.append((task, task.take(number)))
                num_free -= number
        if taken:
            self._submit(taken)
        for task, _ in newcomers:
            task.ticks_waited += not task.slots

    def _submit(self, taken: Sequence[tuple[Task, list[int]]]) -> None:
        """Submits candidates, by task and indices, that were taken from their tasks.

        One call submits those of all tasks, because its cost hardly depends on their number.
        """
        if isinstance(self._stream, TakesModel):
            for task, _ in taken:
                if task.model is not None:
                    self._stream.load_model(task.model)
        candidates = Candidates.joined([task.candidates(indices) for task, indices in taken])
        slots = iter(self._stream.submit(candidates))
        for task, indices in taken:
            task.slots.update(zip(islice(slots, len(indices)), indices, strict=True))

    def _moving(self, shares: list[int]) -> set[int]:
        """Returns the slots that move: the oldest of each task, up to its share, and then more of the oldest for
        shares that are not used yet. Lanes become free sooner this way.
        """
        moving: set[int] = set()
        surplus: list[int] = []
        for task, share in zip(self._with_turn, shares, strict=True):
            slots = list(task.slots)
            moving.update(slots[:share])
            surplus.extend(slots[share:])
        moving.update(surplus[: sum(shares) - len(moving)])
        return moving

    def _take_back(self, wanted: int, shares: list[int], most_of_policy: int) -> int:
        """Takes lanes from the youngest trajectories of tasks above their share; returns how many."""
        share_of = {id(task): share for task, share in zip(self._with_turn, shares, strict=True)}
        mine = [task for task in self._tasks if task.policy is self._policy]
        # Tasks without a turn have no share and come first.
        surplus = [(task, len(task.slots) - share_of.get(id(task), 0)) for task in mine]
        surplus.sort(key=lambda entry: id(entry[0]) in share_of)
        others: dict[int, list[Task]] = {}
        for task in self._tasks:
            if task.policy is not self._policy and task.slots:
                others.setdefault(id(task.policy), []).append(task)
        for tasks in others.values():
            excess = sum(len(task.slots) for task in tasks) - most_of_policy
            surplus.extend((task, min(len(task.slots), excess)) for task in tasks[-1:])
        taken: list[int] = []
        for task, number in surplus:
            slots = list(task.slots)[len(task.slots) - min(max(0, number), wanted - len(taken)) :]
            task.give_back(slots)
            taken.extend(slots)
        if taken:
            self._stream.cancel(taken)
        return len(taken)

    def _hand_out(self) -> None:
        collected = self._stream.collect()
        if not collected:
            return
        owners = {slot: number for number, task in enumerate(self._tasks) for slot in task.slots}
        for slot, error in collected.errors:
            task = self._tasks[owners[slot]]
            task.slots.pop(slot)
            task.fail(error)
        slots = collected.slots.tolist()
        owner = np.array([owners[slot] for slot in slots], dtype=np.int64)
        for number in dict.fromkeys(owner.tolist()):
            rows = np.flatnonzero(owner == number)
            self._tasks[number].record(collected.slots[rows].tolist(), collected.outcomes.taken(rows))

    def _recover(self, fault: Exception) -> None:
        """Fails the task that caused the fault, if only one ran, and makes the evaluator again."""
        logger.error("the evaluator failed", exc_info=fault)
        concerned = [task for task in self._tasks if task.slots or task in self._with_turn]
        if len(concerned) == 1:
            concerned[0].fail(FaultError(f"the evaluator failed: {type(fault).__name__}"))
        for task in concerned:
            task.begin_again()
            task.is_suspect = True
        self._policy = None
        self._with_turn = []
        # Others need not wait for the new evaluator.
        self._turns.leave(self)
        # Drops every reference to the failed evaluator, because the memory may not hold two.
        traceback.clear_frames(fault.__traceback__)
        del self._stream
        self._begin(fault)

    def _look(self) -> None:
        now = time.monotonic()
        if self._tasks and now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self.snapshot = Snapshot(
            work=self._work(),
            num_tasks=len(self._tasks),
            num_in_flight=sum(len(task.slots) for task in self._tasks),
            num_lanes=self._num_lanes,
        )

    def _work(self) -> Work | None:
        """Returns the work of all evaluators so far, which only grows; None if this one has no counters."""
        work: Work | None = getattr(self._stream, "work", None)
        return None if work is None else self._work_before + work


def _fail_as_stopped(tasks: Iterable[Task]) -> None:
    for task in tasks:
        task.fail(StoppedError("the server stopped before the request was done"))
