"""How much memory a process may still take: what the machine has available, and what its container leaves.

Memory that holds copies of files is given up when a program needs it, so it counts as available; on a machine that has
run for a while it is most of what is not in use. A container is a control group with a limit. Both versions of control
groups are read, as ``Documentation/admin-guide/cgroup-v1/memory.rst`` and ``cgroup-v2.rst`` of Linux describe them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch


class _Files(NamedTuple):
    """Names of the files of a control group, and of the entry for copies of files that were not used for a while."""

    limit: str
    usage: str
    reclaimable: str


class _Limit(NamedTuple):
    """Bytes that a control group may have, and those of them that it does not use or can give up."""

    limit: int
    left: int


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")


class Available(NamedTuple):
    """What a process may still take.

    Attributes:
        num_bytes: the bytes.
        budget: the bytes that it may have in all; None if it has no budget.
    """

    num_bytes: int
    budget: int | None = None


def available_on(device: torch.device, share: float | None = None) -> Available:
    """Memory that this process may still take on ``device``, a CPU or a CUDA device.

    Args:
        device: where.
        share: of the memory that the device has, what this process may have; all that is free if None.
    """
    if device.type == "cuda":
        # Given back first: what torch still holds after that is in use, or belongs to a captured graph, whose memory
        # stays taken while the graph lives.
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        taken = torch.cuda.memory_reserved(device)
    else:
        free, total, taken = available_host_bytes(), host_bytes(), resident_bytes()
    if share is None:
        return Available(free)
    budget = int(share * total)
    return Available(max(0, min(free, budget - taken)), budget)


def host_bytes(processes: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The bytes of memory that the machine has, or that the limits of control groups leave of it; see
    :func:`available_host_bytes`.
    """
    all_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(all_bytes, *(found.limit for found in _limits_of_groups(processes, groups)), math.inf))


def resident_bytes() -> int:
    """The bytes of memory that this process has; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_host_bytes(processes: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The bytes of the machine's memory that this process may still take.

    Args:
        processes: where Linux shows its processes.
        groups: where it shows control groups. What cannot be read there sets no limit.
    """
    left = [found.left for found in _limits_of_groups(processes, groups)]
    return max(0, int(min(_available_to_all(processes), *left, math.inf)))


def _available_to_all(processes: Path) -> float:
    """``MemAvailable`` of the machine; where there is no such line, the pages that hold nothing."""
    try:
        lines = (processes / "meminfo").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(kilobytes) * 1024


def _limits_of_groups(processes: Path, groups: Path) -> Iterator[_Limit]:
    """The limits of the control groups around this process."""
    try:
        lines = (processes / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", maxsplit=2)
        if not controllers:
            yield from _limits_from(groups, group, _VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _limits_from(groups / "memory", group, _VERSION_1)


def _limits_from(root: Path, group: str, files: _Files) -> Iterator[_Limit]:
    """The limits of ``group`` and of those around it.

    A container may see the name that its group has outside, where it is the root itself.
    """
    folder = root / group.lstrip("/")
    for around in (folder, *folder.parents):
        if not around.is_relative_to(root):
            return
        limit = _limit_in(around, files)
        if limit is not None:
            yield limit


def _limit_in(folder: Path, files: _Files) -> _Limit | None:
    """The limit of a group; None if there is none."""
    try:
        limit = (folder / files.limit).read_text().strip()
        if limit == "max":
            return None
        usage = int((folder / files.usage).read_text())
        entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return _Limit(int(limit), int(limit) - usage + int(entries.get(files.reclaimable, 0)))
    except (OSError, ValueError):
        return None
