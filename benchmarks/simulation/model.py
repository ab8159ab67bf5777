"""Plays a bulk run event by event.

The driver does one thing at a time. It first takes back results, then hands a shard to a worker that has the fewest and
may hold one more, then waits for its next look at arrivals. A worker evaluates its shards in the order in which they
arrive. If a worker is lost, its shards return to the head of the queue and a new worker replaces it. In: shards and a
cluster. Out: a :class:`Run`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import simpy

from benchmarks.simulation.cluster import Cluster
from benchmarks.simulation.shards import Shard

SECONDS_PER_HOUR = 3600.0

Steps = Generator[simpy.Event, object, None]


class Loss(NamedTuple):
    """The loss of a worker at a time."""

    worker: int
    at_seconds: float


class Span(NamedTuple):
    """A time span of a worker. ``activity``: ``start``, ``overhead``, ``work`` or ``lost`` (evaluation to be
    repeated).
    """

    activity: str
    began: float
    ended: float


@dataclass(frozen=True)
class Run:
    """The course of a run. All times are seconds since the command began.

    Attributes:
        makespan: duration of the whole run, to the end of the command.
        last_handed_out: time at which the driver had handed out the last shard.
        last_evaluated: time at which the last shard was evaluated.
        driver_busy: seconds in which the driver worked, including its start and finish.
        spans: spans of each worker, in order; between them it was idle.
        times_evaluated: ``[S]``, number of times that the evaluation of each shard was begun.
        num_losses: number of workers lost.
    """

    makespan: float
    last_handed_out: float
    last_evaluated: float
    driver_busy: float
    spans: tuple[tuple[Span, ...], ...]
    times_evaluated: tuple[int, ...]
    num_losses: int


def simulate(shards: Sequence[Shard], cluster: Cluster, *, losses: Iterable[Loss] = (), seed: int = 0) -> Run:
    """Plays a run.

    Args:
        shards: shards in the order in which they are handed out.
        cluster: workers and driver.
        losses: losses of workers, in addition to the random ones.
        seed: seed of the random losses.
    """
    return _Simulation(shards, cluster, losses, seed).run()


class _Result(NamedTuple):
    worker: _Worker
    generation: int
    shard: int


class _Ready(NamedTuple):
    worker: _Worker
    generation: int


class _Lost(NamedTuple):
    shards: list[int]


@dataclass(eq=False)
class _Worker:
    inbox: simpy.Store
    process: simpy.Process | None = None
    generation: int = 0
    is_known_ready: bool = False
    num_handed: int = 0
    """Number of shards that it holds, as the driver knows."""
    held: list[int] = field(default_factory=list)
    """Shards that it holds, including those on the wire."""
    spans: list[Span] = field(default_factory=list)


class _Simulation:
    def __init__(self, shards: Sequence[Shard], cluster: Cluster, losses: Iterable[Loss], seed: int) -> None:
        self._shards, self._cluster = shards, cluster
        self._environment = simpy.Environment()
        self._messages = simpy.Store(self._environment)
        self._workers = [_Worker(simpy.Store(self._environment)) for _ in range(cluster.num_workers)]
        self._waiting = deque(range(len(shards)))
        # Workers by the number of shards that they hold; an entry is stale if its worker now holds another number.
        self._open: list[deque[_Worker]] = [deque() for _ in range(cluster.shards_in_flight)]
        self._times_evaluated = [0] * len(shards)
        self._num_losses = 0
        self._driver_busy = self._last_handed_out = self._last_evaluated = 0.0
        self._generator = np.random.default_rng(seed)
        for loss in losses:
            self._environment.process(self._lose_once(loss))

    def run(self) -> Run:
        environment = self._environment
        environment.run(until=environment.process(self._drive()))
        return Run(
            environment.now,
            self._last_handed_out,
            self._last_evaluated,
            self._driver_busy,
            tuple(tuple(worker.spans) for worker in self._workers),
            tuple(self._times_evaluated),
            self._num_losses,
        )

    def _drive(self) -> Steps:
        costs = self._cluster.driver
        yield from self._busy(costs.start)
        for worker in self._workers:
            yield from self._busy(costs.per_worker)
            worker.process = self._environment.process(self._live(worker))
            if self._cluster.losses_per_worker_hour:
                self._environment.process(self._lose_at_random(worker))
        num_done = 0
        while num_done < len(self._shards):
            worker = None if self._messages.items else self._next_worker()
            if worker is not None:
                yield from self._hand_out(self._waiting.popleft(), worker)
                continue
            message = yield from self._next_message()
            if isinstance(message, _Lost):
                self._waiting.extendleft(reversed(message.shards))
            elif isinstance(message, _Ready):
                if message.generation == message.worker.generation:
                    message.worker.is_known_ready = True
                    self._set_handed(message.worker, 0)
            elif isinstance(message, _Result):
                if message.generation == message.worker.generation:
                    self._set_handed(message.worker, message.worker.num_handed - 1)
                yield from self._busy(
                    costs.per_result + costs.per_row * self._shards[message.shard].num_queries
                )
                num_done += 1
        yield from self._busy(costs.finish)

    def _next_message(self) -> Generator[simpy.Event, object, object]:
        """Returns the next message, taken at once if there is one, and otherwise at the driver's next look."""
        if self._messages.items:
            return (yield self._messages.get())
        looked, every = self._environment.now, self._cluster.driver.round
        message = yield self._messages.get()
        if every:
            yield self._environment.timeout(-(self._environment.now - looked) % every)
        return message

    def _busy(self, seconds: float) -> Steps:
        self._driver_busy += seconds
        yield self._environment.timeout(seconds)

    def _set_handed(self, worker: _Worker, number: int) -> None:
        worker.num_handed = number
        if number < len(self._open):
            self._open[number].append(worker)

    def _next_worker(self) -> _Worker | None:
        """Returns a worker that may hold one more shard: among those with the fewest, the one that has waited
        longest.
        """
        if not self._waiting:
            return None
        for number, workers in enumerate(self._open):
            while workers:
                worker = workers.popleft()
                if worker.is_known_ready and worker.num_handed == number:
                    return worker
        return None

    def _hand_out(self, shard: int, worker: _Worker) -> Steps:
        costs, generation = self._cluster.driver, worker.generation
        yield from self._busy(costs.per_shard + costs.per_query * self._shards[shard].num_queries)
        if generation != worker.generation:
            self._waiting.appendleft(shard)
            return
        self._last_handed_out = self._environment.now
        worker.held.append(shard)
        self._set_handed(worker, worker.num_handed + 1)
        self._send(worker.inbox, shard)

    def _send(self, inbox: simpy.Store, item: object) -> None:
        if self._cluster.wire_seconds:
            self._environment.process(self._travel(inbox, item))
        else:
            inbox.put(item)

    def _travel(self, inbox: simpy.Store, item: object) -> Steps:
        yield self._environment.timeout(self._cluster.wire_seconds)
        yield inbox.put(item)

    def _live(self, worker: _Worker) -> Steps:
        while True:
            activity, began = "start", self._environment.now
            try:
                yield self._environment.timeout(self._cluster.worker.start)
                worker.spans.append(Span(activity, began, self._environment.now))
                self._send(self._messages, _Ready(worker, worker.generation))
                while True:
                    activity = ""
                    shard = yield worker.inbox.get()
                    assert isinstance(shard, int)
                    self._times_evaluated[shard] += 1
                    for activity, seconds in self._parts(shard):
                        began = self._environment.now
                        yield self._environment.timeout(seconds)
                        worker.spans.append(Span(activity, began, self._environment.now))
                    worker.held.remove(shard)
                    self._last_evaluated = self._environment.now
                    self._send(self._messages, _Result(worker, worker.generation, shard))
            except simpy.Interrupt:
                if activity:
                    lost = "start" if activity == "start" else "lost"
                    worker.spans.append(Span(lost, began, self._environment.now))
                self._replace(worker)

    def _parts(self, shard: int) -> tuple[tuple[str, float], ...]:
        costs, what = self._cluster.worker, self._shards[shard]
        overhead = costs.per_shard + costs.per_query * what.num_queries
        return ("overhead", overhead), ("work", what.work_seconds / self._cluster.speed)

    def _replace(self, worker: _Worker) -> None:
        """Takes the shards of a lost worker; its replacement has its own queue."""
        self._num_losses += 1
        worker.generation += 1
        worker.is_known_ready = False
        held, worker.held = worker.held, []
        worker.inbox = simpy.Store(self._environment)
        self._messages.put(_Lost(held))

    def _lose_once(self, loss: Loss) -> Steps:
        yield self._environment.timeout(loss.at_seconds)
        process = self._workers[loss.worker].process
        if process is not None:
            process.interrupt()

    def _lose_at_random(self, worker: _Worker) -> Steps:
        mean = SECONDS_PER_HOUR / self._cluster.losses_per_worker_hour
        while True:
            yield self._environment.timeout(float(self._generator.exponential(mean)))
            if worker.process is not None:
                worker.process.interrupt()
