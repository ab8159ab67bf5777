"""The analysis of a profiler's trace, on traces small enough to check by hand; times in microseconds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device.profile import occupation_row
from benchmarks.device.record import Record
from benchmarks.device.trace import occupation, read_trace, seconds_by_kernel, seconds_by_range


def event(name: str, category: str, begin: float, length: float, correlation: int | None = None) -> Any:
    arguments = {} if correlation is None else {"correlation": correlation}
    is_on_device = category in ("kernel", "gpu_memcpy")
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": 0 if is_on_device else 100,
        "tid": 7 if is_on_device else 1,
        "ts": begin,
        "dur": length,
        "args": arguments,
    }


def write(path: Path, *events: Any) -> Path:
    text = json.dumps({"traceEvents": [{"ph": "M", "name": "process_name"}, *events]})
    path.write_bytes(gzip.compress(text.encode()))
    return path


TICK = (
    event("tick: rest", "user_annotation", 0, 100),
    event("tick: filter", "user_annotation", 10, 60),
    event("tick: expand", "user_annotation", 20, 30),
    event("another", "user_annotation", 0, 200),
)
"""A tick of 100, with 60 of them in the filter, of which 30 belong to the expansion."""


def test_a_kernel_belongs_to_the_innermost_part_that_launched_it_however_late_it_runs(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trace.json.gz",
        *TICK,
        event("cudaLaunchKernel", "cuda_runtime", 25, 1, 1),
        event("cuLaunchKernel", "cuda_driver", 60, 1, 2),
        event("cudaMemcpyAsync", "cuda_runtime", 80, 1, 3),
        event("cudaLaunchKernel", "cuda_runtime", 150, 1, 4),
        event("add", "kernel", 300, 40, 1),
        event("sort", "kernel", 340, 20, 2),
        event("copy", "gpu_memcpy", 360, 5, 3),
        event("add", "kernel", 365, 10, 4),
    )
    events = read_trace(path)

    assert seconds_by_range(events, "tick: ") == pytest.approx(
        {"expand": 40e-6, "filter": 20e-6, "rest": 5e-6}
    )
    assert list(seconds_by_kernel(events).items()) == [
        ("add", pytest.approx(50e-6)),
        ("sort", pytest.approx(20e-6)),
        ("copy", pytest.approx(5e-6)),
    ]


def test_without_a_card_a_part_has_its_own_time_without_that_of_the_parts_within_it(tmp_path: Path) -> None:
    events = read_trace(write(tmp_path / "trace.json.gz", *TICK))

    assert seconds_by_range(events, "tick: ") == pytest.approx(
        {"expand": 30e-6, "filter": 30e-6, "rest": 40e-6}
    )


REPLAYS = (
    event("cudaLaunchKernel", "cuda_runtime", 0, 5, 9),
    event("cudaGraphLaunch", "cuda_runtime", 10, 5, 1),
    event("cudaMemcpyAsync", "cuda_runtime", 20, 5, 2),
    event("cudaGraphLaunch", "cuda_runtime", 30, 5, 3),
    event("submit", "kernel", 20, 10, 9),
    event("gemm", "kernel", 100, 40, 1),
    event("add", "kernel", 150, 50, 1),
    event("copy", "gpu_memcpy", 205, 5, 2),
    event("gemm", "kernel", 220, 40, 3),
    event("add", "kernel", 250, 50, 3),
    event("collect", "kernel", 400, 10, 9),
)
"""Two replays with a copy between them. The device is idle for 10 within the first, then for 5 and for 10 around the
copy; in the second replay kernels overlap. The time before and after the replays is not steady.
"""


def test_gaps_between_launches_are_told_from_those_within_one(tmp_path: Path) -> None:
    occupied = occupation(read_trace(write(tmp_path / "trace.json.gz", *REPLAYS)))

    assert occupied.total == 200
    assert occupied.busy == 175
    assert occupied.between_launches == 15
    assert occupied.between_replays == 20
    assert (occupied.num_replays, occupied.num_kernels) == (2, 5)


def test_a_copy_within_a_replay_is_work_and_one_between_two_is_not(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trace.json.gz",
        event("cudaGraphLaunch", "cuda_runtime", 0, 5, 1),
        event("cudaGraphLaunch", "cuda_runtime", 10, 5, 3),
        event("gemm", "kernel", 100, 40, 1),
        event("copy", "gpu_memcpy", 150, 10, 1),
        event("copy", "gpu_memcpy", 160, 30, 2),
        event("gemm", "kernel", 190, 10, 3),
    )

    occupied = occupation(read_trace(path))

    assert (occupied.between_launches, occupied.between_replays) == (0, 30)


def test_without_replays_the_device_is_looked_at_from_its_first_kernel_to_its_last(tmp_path: Path) -> None:
    kernels = (event("add", "kernel", 10, 10, 1), event("add", "kernel", 30, 10, 2))

    occupied = occupation(read_trace(write(tmp_path / "trace.json.gz", *kernels)))

    assert (occupied.total, occupied.busy, occupied.between_launches, occupied.num_replays) == (30, 20, 10, 0)


def test_the_row_of_the_device_tells_shares_and_its_kernels_a_row_each(tmp_path: Path) -> None:
    path = write(tmp_path / "trace.json.gz", *REPLAYS)
    record = Record(tmp_path / "gpu.json", {})

    record.run_stage(
        "profile",
        lambda: record.add("occupation", occupation_row(read_trace(path), 10, path, record)),
        seconds=10,
    )

    tables = record.stages["profile"]["tables"]
    [row] = tables["occupation"]
    assert (row["busy %"], row["between launches %"]) == (87.5, 7.5)
    assert row["no kernel running between replays %"] == 10
    assert [kernel["kernel"] for kernel in tables["kernels"]][:2] == ["add", "gemm"]
    assert tables["kernels"][0]["ms per tick"] == pytest.approx(0.01)


def test_a_trace_without_kernels_has_no_occupation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no kernels"):
        occupation(read_trace(write(tmp_path / "trace.json.gz", *TICK)))
