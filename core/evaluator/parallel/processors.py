"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""File with the quota of a container: microseconds of processor time, or ``max``, and those of the period."""


def usable_processors(quota: Path = _QUOTA) -> int:
    """The number of processors that this process may use at once: those it may run on, within its container's quota.

    Args:
        quota: the file of the quota (``cpu.max`` of Linux control groups, version 2); none applies where it is missing.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text(encoding="ascii").split()
        return max(1, min(allowed, int(microseconds) // int(period)))
    except (OSError, ValueError):
        return allowed
