"""Stage ``all_entities``: queries of WN18RR ranked against every entity of one side, known triples filtered.

Table ``all_entities``: time, candidates per second and memory; a sample of the candidates is compared with the
original.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.common import Workload
from benchmarks.device import original
from benchmarks.device.bench import Bench
from benchmarks.device.record import AGREES, LeftOut, Record, Row
from proofrank.core.evaluator.diff import differing
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import Query, aggregate, rank_outcomes

_SAMPLE = 200
"""Number of candidates, evenly spread, that the original proves too."""


def measure(bench: Bench, record: Record) -> None:
    """Adds the table."""
    workload = bench.workload("wn18rr", bench.sizes.all_entities_queries, None)
    if bench.sizes.is_quick:
        workload = replace(workload, queries=[_shortened(query) for query in workload.queries])
    num_lanes = bench.sizes.lanes[-1]
    labels: Row = {
        "dataset": workload.dataset.name,
        "queries": len(workload.queries),
        "mode": bench.automatic_mode,
        "lanes": num_lanes,
    }
    record.measure("all_entities", labels, lambda: _ranked(bench, record, workload, num_lanes))


def _shortened(query: Query) -> Query:
    return replace(query, constants=query.constants[:50])


def _ranked(bench: Bench, record: Record, workload: Workload, num_lanes: int) -> Row:
    candidates = workload.candidates
    outcomes: list[Outcome] = []

    def stop_in_time(num_done: int) -> None:
        if record.seconds_left <= 0:
            raise LeftOut(f"no time was left after {num_done} of {len(candidates)} candidates")

    def evaluate() -> None:
        outcomes[:] = ready.evaluator.evaluate(candidates, on_progress=stop_in_time)

    with bench.evaluator(workload, num_lanes) as ready:
        ready.evaluator.evaluate(candidates[:num_lanes])
        timing = bench.timed(evaluate)
        peak = bench.peak_gib()
    sample = range(0, len(candidates), max(1, len(candidates) // _SAMPLE))
    ranked = rank_outcomes(workload.queries, outcomes, seed=0, seconds=timing.device_seconds)
    return {
        "candidates": len(candidates),
        "ready s": ready.ready_seconds,
        "seconds": timing.device_seconds,
        "candidates per second": len(candidates) / timing.device_seconds,
        "peak GiB": peak,
        "MRR": aggregate(ranked).mrr,
        **_compared(workload, [candidates[index] for index in sample], [outcomes[index] for index in sample]),
    }


def _compared(workload: Workload, candidates: list[Candidate], outcomes: list[Outcome]) -> Row:
    wanted, _ = original.prove(workload, candidates)
    num_differing = len(differing(candidates, outcomes, wanted))
    return {"compared with the original": len(wanted), "differing": num_differing, AGREES: num_differing == 0}
