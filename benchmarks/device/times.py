"""Stage ``times``: the time of a query, warm, between the device's events: medians, in every precision.

Tables ``times`` (the fastest mode; drift and changed ranks against its own float32), ``ready`` (from nothing to warm,
and what calibration chose), ``original`` (the Python loop on this host's processor, a sample) and ``card under load``.
A query is one side of a triple with its corruptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.common import Workload, median
from benchmarks.device import original
from benchmarks.device.agreement import Agreement
from benchmarks.device.bench import Bench, ReadyEvaluator
from benchmarks.device.environment import card
from benchmarks.device.record import Record, Row
from proofrank.core.policy.precision import precisions_of
from proofrank.core.prover import Outcome


def measure(bench: Bench, record: Record) -> None:
    """Adds the tables."""
    workloads = [bench.workload("family", *sizes) for sizes in bench.sizes.workloads]
    exact: dict[int, Sequence[Outcome]] = {}
    for precision in precisions_of(bench.device):
        for num_lanes in bench.sizes.lanes:
            labels = {"mode": bench.automatic_mode, "precision": precision, "lanes": num_lanes}
            record.measure(
                "ready", labels, partial(_all_timed, bench, record, workloads, precision, num_lanes, exact)
            )
    record.measure("card under load", {}, lambda: card(bench))
    sample = bench.workload("family", bench.sizes.sample_queries, bench.sizes.workloads[0][1])
    record.measure("original", {"dataset": sample.dataset.name}, lambda: _original(sample))


def _all_timed(
    bench: Bench,
    record: Record,
    workloads: list[Workload],
    precision: str,
    num_lanes: int,
    exact: dict[int, Sequence[Outcome]],
) -> Row:
    """Returns a row of the start; adds one for each workload.

    ``exact`` keeps the outcomes of the first evaluation in float32 by the place of the workload; the others are
    compared with them.
    """
    with bench.evaluator(workloads[0], num_lanes, precision=precision) as ready:
        for place, workload in enumerate(workloads):
            labels: Row = {
                "dataset": workload.dataset.name,
                "queries": len(workload.queries),
                "corruptions": bench.sizes.workloads[place][1],
                "precision": precision,
                "lanes": num_lanes,
            }

            def row(place: int = place, workload: Workload = workload) -> Row:
                outcomes, figures = _timed(bench, ready, workload)
                if precision == "float32":
                    exact.setdefault(place, outcomes)
                if place not in exact:
                    return {**figures, "ranks": "not compared: float32 has no row"}
                agreement = Agreement.of(workload, outcomes, exact[place])
                return {**figures, **(agreement.exact_row() if precision == "float32" else agreement.row())}

            record.measure("times", labels, row)
        capacities = ready.evaluator.capacities[num_lanes]
    return {
        "calibration s": ready.calibration_seconds,
        "ready s": ready.ready_seconds,
        "ticks per look": ready.evaluator.ticks_per_look,
        "rows": capacities.num_rows,
        "checks": capacities.num_checks,
        "states": capacities.num_states,
    }


def _timed(bench: Bench, ready: ReadyEvaluator, workload: Workload) -> tuple[Sequence[Outcome], Row]:
    """Returns the outcomes of a workload, and the columns of their time."""
    evaluator, candidates = ready.evaluator, workload.candidates
    outcomes = evaluator.evaluate(candidates)
    before = evaluator.work
    timings = [bench.timed(lambda: evaluator.evaluate(candidates)) for _ in range(bench.sizes.repeats)]
    done = evaluator.work - before
    seconds = [timing.device_seconds for timing in timings]
    wall_seconds = median([timing.wall_seconds for timing in timings])
    num_ticks = done.ticks / len(timings)
    return outcomes, {
        "candidates": len(candidates),
        "ms per query": median(seconds) / len(workload.queries) * 1e3,
        "us per candidate": median(seconds) / len(candidates) * 1e6,
        "ms per 51 candidates": median(seconds) / len(candidates) * 51e3,
        "queries per second": len(workload.queries) / median(seconds),
        "wall ms per query": wall_seconds / len(workload.queries) * 1e3,
        "spread %": 100 * (max(seconds) - min(seconds)) / median(seconds),
        "ticks": num_ticks,
        "ms per tick": median(seconds) / num_ticks * 1e3,
        "padding waste %": 100 * done.padding_waste,
        "lanes busy %": 100 * done.lanes_busy / done.lanes,
        "peak GiB": bench.peak_gib(),
    }


def _original(sample: Workload) -> Row:
    outcomes, seconds = original.prove(sample)
    return {
        "queries": len(sample.queries),
        "candidates": len(outcomes),
        "ms per query": seconds / len(sample.queries) * 1e3,
        "us per candidate": seconds / len(outcomes) * 1e6,
    }
