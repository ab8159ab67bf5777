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
    """Names of the files of a control group, and of the entry for copies of files that nobody has used for a while."""

    limit: str
    usage: str
    reclaimable: str


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")


def available_bytes(device: torch.device) -> int:
    """The bytes that this process may still take on ``device``, a CPU or a CUDA device."""
    if device.type == "cuda":
        # Given back first: what torch still holds after that is in use, or belongs to a captured graph, whose memory
        # nobody else can have while the graph lives.
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    return available_host_bytes()


def available_host_bytes(processes: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The bytes of the machine's memory that this process may still take.

    Args:
        processes: where Linux shows its processes.
        groups: where it shows control groups. What cannot be read there sets no limit.
    """
    return max(0, int(min(_available_to_all(processes), *_left_by_groups(processes, groups), math.inf)))


def _available_to_all(processes: Path) -> float:
    """``MemAvailable`` of the machine; where there is no such line, the pages that hold nothing."""
    try:
        lines = (processes / "meminfo").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(kilobytes) * 1024


def _left_by_groups(processes: Path, groups: Path) -> Iterator[float]:
    """What each control group around this process leaves."""
    try:
        lines = (processes / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", maxsplit=2)
        if not controllers:
            yield from _left_from(groups, group, _VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _left_from(groups / "memory", group, _VERSION_1)


def _left_from(root: Path, group: str, files: _Files) -> Iterator[float]:
    """What ``group`` and those around it leave.

    A container may see the name that its group has outside, where it is the root itself.
    """
    folder = root / group.lstrip("/")
    for around in (folder, *folder.parents):
        if not around.is_relative_to(root):
            return
        left = _left_in(around, files)
        if left is not None:
            yield left


def _left_in(folder: Path, files: _Files) -> float | None:
    """The limit of a group less what it uses and cannot give up; None if there is no limit."""
    try:
        limit = (folder / files.limit).read_text().strip()
        if limit == "max":
            return None
        usage = int((folder / files.usage).read_text())
        entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(limit) - usage + int(entries.get(files.reclaimable, 0))
    except (OSError, ValueError):
        return None
