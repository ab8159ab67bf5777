"""Stage ``profile``: where the time of a tick goes, and whether the device is idle between two replays.

Tables ``parts`` (of a tick that is not compiled, whose parts can be told apart: time on the device of the kernels of
each, or of the host on a CPU), ``whole`` (their sum), ``kernels`` (the longest of the fastest mode) and ``occupation``
(of the device in the fastest mode; a replay of a graph is one launch, and in the last share the copies of outcomes do
not count as work). The traces are kept beside the results, for ``chrome://tracing`` or https://ui.perfetto.dev.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from benchmarks.common import Workload
from benchmarks.device import trace
from benchmarks.device.bench import Bench
from benchmarks.device.parts import PARTS, PREFIX, named_parts
from benchmarks.device.record import Record, Row

_LANES_KEPT_FULL = 4
"""Number of candidates for each lane in a profile: enough for a steady state, and few enough for a readable trace."""

_KERNELS_SHOWN = 15


def measure(bench: Bench, record: Record) -> None:
    """Adds the tables."""
    workload = bench.workload("family", *bench.sizes.workloads[-1])
    num_lanes = bench.sizes.lanes[0]
    labels: Row = {"dataset": workload.dataset.name, "lanes": num_lanes}
    record.measure("whole", {**labels, "mode": "eager"}, lambda: _parts(bench, workload, num_lanes, record))
    record.measure(
        "occupation",
        {**labels, "mode": bench.automatic_mode},
        lambda: _occupation(bench, workload, num_lanes, record),
    )


def _parts(bench: Bench, workload: Workload, num_lanes: int, record: Record) -> Row:
    candidates = workload.candidates[: _LANES_KEPT_FULL * num_lanes]
    path = bench.out / "gpu-trace-parts.json.gz"
    with bench.evaluator(workload, num_lanes, compile_mode="eager") as ready:
        evaluator = ready.evaluator
        evaluator.evaluate(candidates)
        before = evaluator.work.ticks
        with named_parts(ready.tick):
            _trace(bench, lambda: evaluator.evaluate(candidates), path)
        num_ticks = evaluator.work.ticks - before
    seconds = trace.seconds_by_range(trace.read_trace(path), PREFIX)
    total = sum(seconds.values())
    for part in PARTS:
        own = seconds.get(part, 0.0)
        record.add(
            "parts", {"part": part, "ms per tick": own / num_ticks * 1e3, "share %": 100 * own / total}
        )
    return {"ticks": num_ticks, "ms per tick": total / num_ticks * 1e3, "trace": path.name}


def _occupation(bench: Bench, workload: Workload, num_lanes: int, record: Record) -> Row:
    bench.require_cuda()
    candidates = workload.candidates[: _LANES_KEPT_FULL * num_lanes]
    path = bench.out / "gpu-trace.json.gz"
    with bench.evaluator(workload, num_lanes) as ready:
        evaluator = ready.evaluator
        evaluator.evaluate(candidates)
        before = evaluator.work.ticks
        _trace(bench, lambda: evaluator.evaluate(candidates), path)
        num_ticks = evaluator.work.ticks - before
    return occupation_row(trace.read_trace(path), num_ticks, path, record)


def occupation_row(events: list[trace.Event], num_ticks: int, path: Path, record: Record) -> Row:
    """Returns the row of the trace ``events`` at ``path`` of ``num_ticks`` ticks; adds the table ``kernels``."""
    kernels = trace.seconds_by_kernel(events)
    total = sum(kernels.values())
    for name, seconds in list(kernels.items())[:_KERNELS_SHOWN]:
        own = {"ms per tick": seconds / num_ticks * 1e3, "share %": 100 * seconds / total}
        record.add("kernels", {"kernel": name[:80], **own})
    occupied = trace.occupation(events)
    return {
        "ticks": num_ticks,
        "kernels": occupied.num_kernels,
        "replays": occupied.num_replays,
        "ms": occupied.total / 1e3,
        "busy %": 100 * occupied.busy / occupied.total,
        "between launches %": 100 * occupied.between_launches / occupied.total,
        "no kernel running between replays %": 100 * occupied.between_replays / occupied.total,
        "trace": path.name,
    }


def _trace(bench: Bench, work: Callable[[], object], path: Path) -> None:
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.is_on_cuda else [])
    with profile(activities=activities) as profiler:
        work()
        bench.synchronize()
    path.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(path))
