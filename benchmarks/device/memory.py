"""Stage ``memory``: the memory of a bucket, estimated before it is made, and at the peak of its work.

Table ``memory``: capacities; GiB as estimated by ``core.evaluator.capacities`` and as counted from shapes by
``core.evaluator.memory``; and the measured peak. All rows are of the eager tick; compiled ticks need less, and the
stage of saturation has theirs. A bucket that does not fit has the refusal instead.
"""

from __future__ import annotations

from functools import partial

from benchmarks.common import Workload
from benchmarks.device.bench import Bench
from benchmarks.device.record import Record, Row
from proofrank.core.evaluator.memory import memory_of


def measure(bench: Bench, record: Record) -> None:
    """Adds the table."""
    for name in ("family", "wn18rr"):
        workload = bench.workload(name, *bench.sizes.workloads[0])
        for num_lanes in bench.sizes.most_lanes:
            labels = {"dataset": workload.dataset.name, "mode": "captured", "lanes": num_lanes}
            record.measure("memory", labels, partial(_measured, bench, workload, num_lanes))


def _measured(bench: Bench, workload: Workload, num_lanes: int) -> Row:
    with bench.evaluator(workload, num_lanes, compile_mode="captured") as ready:
        evaluator = ready.evaluator
        evaluator.evaluate(workload.candidates[: 2 * num_lanes])
        peak = bench.peak_gib()
        counted = memory_of(evaluator.make_tick(num_lanes))
        capacities, num_bytes = evaluator.capacities[num_lanes], evaluator.required_bytes
    return {
        "rows": capacities.num_rows,
        "checks": capacities.num_checks,
        "states": capacities.num_states,
        "estimated GiB": num_bytes / 2**30,
        "counted GiB": (counted.static + counted.temporary) / 2**30,
        "peak GiB": peak,
    }
