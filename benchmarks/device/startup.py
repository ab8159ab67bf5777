"""Stage ``startup``: time from the start of a process to ready, cold, and again with the artifacts of the first start.

Table ``startup``, one process for each row, as in ``python -m benchmarks.startup``.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.device.bench import Bench
from benchmarks.device.record import LeftOut, Record, Row
from benchmarks.startup import measure_start
from proofrank.core.default import DATASET, POLICY


def measure(bench: Bench, record: Record) -> None:
    """Adds the table."""
    dataset, policy = bench.shared / "data" / "family", bench.shared / "truth" / "family-seed0"
    if bench.sizes.is_quick:
        dataset, policy = DATASET, POLICY
    elif not (dataset.is_dir() and policy.is_dir()):
        raise LeftOut(f"{dataset} or {policy} is missing; --shared names the folder of both")
    for mode in dict.fromkeys((bench.automatic_mode, "default", "eager")):
        with tempfile.TemporaryDirectory() as cache:
            for start in ("cold", "again"):
                labels: Row = {"dataset": dataset.name, "mode": mode, "start": start}
                record.measure("startup", labels, partial(_start, bench, dataset, policy, mode, cache, start))


def _start(bench: Bench, dataset: Path, policy: Path, mode: str, cache: str, start: str) -> Row:
    bench.check_mode(mode)
    row = measure_start(
        dataset, policy, mode, bench.sizes.lanes[0], cache, start, is_on_cpu=not bench.is_on_cuda
    )
    if row["runs as"] != mode:
        raise RuntimeError(f"{mode} could not be compiled and runs as {row['runs as']}")
    return row
