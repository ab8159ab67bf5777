"""Settings of the process's threads. The program that owns the process makes them, never ``core``."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

from proofrank.core.errors import ProofrankError

FEW_CANDIDATES = 512
"""Drawing, ranking or wording so many takes about as long as handing them to another thread and back."""

P = ParamSpec("P")
T = TypeVar("T")


DEFAULT_THREADS = 1
"""Number of threads of torch unless somebody asks for more.

The operations of a tick are so small that a second thread brings little on an idle machine. Beside one busy process two
threads wait for each other at each operation, and an evaluation takes many times as long (docs/operation.md).
"""


def use_threads(number: int | None) -> None:
    """Sets the threads that torch computes with in the calling thread.

    Args:
        number: how many; None for ``DEFAULT_THREADS``.

    Raises:
        ProofrankError: ``number`` is below 1.
    """
    if number is None:
        number = DEFAULT_THREADS
    if number < 1:
        raise ProofrankError(f"threads is {number}; expected at least 1")
    _set(number)


def compute_alone() -> None:
    """Keeps torch in the calling thread to that thread, so that only the one that evaluates has helpers.

    Each thread that computes in parallel has helpers of its own, which it keeps. Once they are more than the machine
    has cores, they all sleep between two operations instead of waiting for the next, and waking them takes as long as
    the operation: on two cores a candidate then took 3.1 ms in place of 1.8.
    """
    _set(1)


def make_workers() -> ThreadPoolExecutor:
    """Threads for what would hold up the event loop; each computes alone."""
    return ThreadPoolExecutor(thread_name_prefix="worker", initializer=compute_alone)


async def in_worker_unless_small(
    is_small: bool, function: Callable[P, T], *arguments: P.args, **options: P.kwargs
) -> T:
    """What ``function`` gives, from a worker, beside the event loop; or from the loop itself where the work is small.

    A large request would hold up all others there; a small one would wait for a worker longer than its work takes.
    """
    if is_small:
        return function(*arguments, **options)
    return await asyncio.to_thread(function, *arguments, **options)


def start_daemon(function: Callable[[], T], name: str) -> tuple[threading.Thread, Future[T]]:
    """Runs ``function`` in a thread that computes alone, and that neither the event loop nor the process waits for at
    its end; the thread, and what it will give."""
    given: Future[T] = Future()
    given.set_running_or_notify_cancel()  # from here on it cannot be cancelled

    def run() -> None:
        compute_alone()
        try:
            given.set_result(function())
        except BaseException as error:
            given.set_exception(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread, given


def _set(number: int) -> None:
    """Sets the threads of the calling thread for good.

    A thread that has not asked torch for the number yet takes, at its first operation, what any thread set last.
    """
    torch.set_num_threads(number)
    torch.get_num_threads()
    torch.set_num_threads(number)


def share_the_interpreter() -> None:
    """Lets the threads that answer requests wait less for the one that evaluates.

    A request passes from thread to thread some times, and may wait at each for as long as Python lets another go on.
    With 1 ms instead of 5, p99 of small requests at half of the load fell by a fifth; the throughput stayed.
    """
    sys.setswitchinterval(0.001)
