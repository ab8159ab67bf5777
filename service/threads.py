"""How the threads of the process share it: a choice of whoever owns the process, never of ``core``."""

from __future__ import annotations

import os
import sys

import torch

from core.errors import ProofrankError


def use_threads(number: int | None, engine: str) -> None:
    """Sets the threads of this process.

    Args:
        number: how many; None for what fits the engine. The original engine's matrices are so small that a second
            thread costs more than it brings, and very much more where another process wants the core.
        engine: the engine that will run.

    Raises:
        ProofrankError: ``number`` is below 1.
    """
    if number is None:
        number = 1 if engine == "original" else os.cpu_count() or 1
    if number < 1:
        raise ProofrankError(f"threads is {number}; expected at least 1")
    torch.set_num_threads(number)


def share_the_interpreter() -> None:
    """Lets the threads that answer requests wait less for the one that evaluates.

    A request passes from thread to thread some times, and may wait at each for as long as Python lets another go on.
    With 1 ms instead of 5, p99 of small requests at half of the load fell by a fifth; the throughput stayed.
    """
    sys.setswitchinterval(0.001)
