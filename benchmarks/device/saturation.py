"""Stage ``saturation``: queries per second against lanes, in float32, up to the limit of memory.

Table ``saturation``: for each bucket, as many candidates as keep its lanes full for a while, repeated if there are too
few; a query is 51 candidates.
"""

from __future__ import annotations

import itertools
from functools import partial

from benchmarks.common import Workload, median
from benchmarks.device.bench import Bench
from benchmarks.device.record import Record, Row

_CANDIDATES_PER_LANE = 8
_MOST_CANDIDATES = 1 << 19
_QUERY = 51
"""Number of candidates of a query in the rates."""


def measure(bench: Bench, record: Record) -> None:
    """Adds the table."""
    workload = bench.workload("family", *bench.sizes.workloads[-1])
    for num_lanes in bench.sizes.most_lanes:
        labels = {"dataset": workload.dataset.name, "mode": bench.automatic_mode, "lanes": num_lanes}
        record.measure("saturation", labels, partial(_rate, bench, workload, num_lanes))


def _rate(bench: Bench, workload: Workload, num_lanes: int) -> Row:
    number = min(_CANDIDATES_PER_LANE * num_lanes, _MOST_CANDIDATES)
    candidates = list(itertools.islice(itertools.cycle(workload.candidates), number))
    with bench.evaluator(workload, num_lanes) as ready:
        evaluator = ready.evaluator
        timings = bench.repeated(lambda: evaluator.evaluate(candidates), repeats=2)
        work = evaluator.work
        peak = bench.peak_gib()
    seconds = median([timing.device_seconds for timing in timings])
    return {
        "candidates": len(candidates),
        "ready s": ready.ready_seconds,
        "queries per second": len(candidates) / _QUERY / seconds,
        "ms per query": seconds / len(candidates) * _QUERY * 1e3,
        "candidates per second": len(candidates) / seconds,
        "lanes busy %": 100 * work.lanes_busy / work.lanes,
        "padding waste %": 100 * work.padding_waste,
        "peak GiB": peak,
    }
