"""Stage ``environment``: the machine and the software of the figures.

Tables ``machine`` (card, driver, versions, commit) and ``card`` (clocks, power and temperature from ``nvidia-smi``; the
stage of times adds those under load).
"""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import torch

from benchmarks.common import machine
from benchmarks.device.bench import Bench
from benchmarks.device.record import Record, Row
from proofrank.core.evaluator.artifacts import _code_hash

_ROOT = Path(__file__).resolve().parents[2]
_QUERIED = (
    "name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit",
    "temperature.gpu", "memory.total", "clocks_event_reasons.active", "mig.mode.current",
)  # fmt: skip


def measure(bench: Bench, record: Record, commit: str | None) -> None:
    """Adds both tables; ``commit`` is used if there is no git."""
    record.measure("machine", {}, lambda: _machine(bench, commit))
    record.measure("card", {"when": "at the start"}, lambda: card(bench))


def _machine(bench: Bench, commit: str | None) -> Row:
    row: Row = {
        **machine(),
        "measured device": str(bench.device),
        "CUDA of torch": torch.version.cuda or "none",
        "triton": _version("triton"),
        "precision of float32 products": torch.get_float32_matmul_precision(),
        "commit": commit or _commit(),
        "SHA-256 of the code of a tick": _code_hash(),
    }
    if bench.is_on_cuda:
        properties = torch.cuda.get_device_properties(bench.device)
        row |= {
            "multiprocessors": properties.multi_processor_count,
            "memory GiB": properties.total_memory / 2**30,
            "compute capability": f"{properties.major}.{properties.minor}",
        }
    return row


def card(bench: Bench) -> Row:
    """Returns the current output of ``nvidia-smi`` for the card. Raises LeftOut if there is none."""
    bench.require_cuda()
    index = bench.device.index if bench.device.index is not None else torch.cuda.current_device()
    rows = [_queried(name, index) for name in _QUERIED]
    return dict(zip(_QUERIED, rows, strict=True))


def _queried(name: str, index: int) -> str:
    # One query each: a driver that does not know one name answers nothing at all.
    answer = _output("nvidia-smi", f"--id={index}", f"--query-gpu={name}", "--format=csv,noheader")
    return answer if answer is not None else "unknown to nvidia-smi"


def _commit() -> str:
    head = _output("git", "rev-parse", "HEAD")
    if head is None:
        return "unknown: no git here; --commit names it"
    return head + (" and changes" if _output("git", "status", "--porcelain", "--untracked-files=no") else "")


def _output(*command: str) -> str | None:
    try:
        answer = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
