"""Several schedulers tick in turns: one at a time, each for its time, and none waits for one that is idle or ended."""

from __future__ import annotations

import threading
import time

from proofrank.service.scheduler import Turns

PATIENCE = 60.0


class Taker:
    """A thread that takes turns until it is told to leave."""

    def __init__(self, turns: Turns, seconds: float, inside: set[str], name: str) -> None:
        self._turns, self._seconds, self._inside, self._name = turns, seconds, inside, name
        self._stopped = threading.Event()
        self.num_turns = 0
        self.busy_seconds = 0.0
        self.others_seen: set[str] = set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._turns.take(self, self._seconds)
            began = time.monotonic()
            self._inside.add(self._name)
            self.others_seen |= self._inside - {self._name}
            time.sleep(0.001)
            self._inside.discard(self._name)
            self.num_turns += 1
            self.busy_seconds += time.monotonic() - began
        self._turns.leave(self)

    def stop(self) -> None:
        self._stopped.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def test_one_ticks_at_a_time_and_each_for_its_share_of_the_time() -> None:
    turns, inside = Turns(), set[str]()
    first, second = Taker(turns, 0.1, inside, "first"), Taker(turns, 0.02, inside, "second")
    ends = time.monotonic() + PATIENCE
    while first.busy_seconds < 0.6 or second.busy_seconds < 0.06:
        assert time.monotonic() < ends
        time.sleep(0.01)
    ratio = first.busy_seconds / second.busy_seconds
    first.stop()
    second.stop()
    assert not first.others_seen and not second.others_seen
    assert ratio > 1.5


def test_one_alone_never_waits() -> None:
    turns = Turns()
    scheduler = object()
    began = time.monotonic()
    for _ in range(1000):
        turns.take(scheduler, 0.0)
    assert time.monotonic() - began < PATIENCE
    turns.leave(scheduler)
    other = object()
    turns.take(other, 1000.0)


def test_one_that_leaves_while_it_waits_waits_no_longer() -> None:
    turns = Turns()
    holder, waiter = object(), object()
    turns.take(holder, 1000.0)
    waiting = threading.Thread(target=turns.take, args=(waiter, 1.0), daemon=True)
    waiting.start()
    while not turns._waiting:
        time.sleep(0.001)
    turns.leave(waiter)
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    turns.take(holder, 1000.0)
