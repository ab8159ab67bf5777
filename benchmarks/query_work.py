"""The time of a split's queries against all entities, measured on a sample of queries and of their candidates.

OMP_NUM_THREADS=1 python -m benchmarks.query_work --json docs/benchmarks/query-work-wn18rr.json

Counts processor seconds of one thread, which other programs on the machine affect less than elapsed seconds. Some of
the queries are then measured against all entities, to correct the others (``benchmarks.simulation.work``).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    add_graph,
    add_output,
    arguments_of,
    load_workload,
    print_table,
    write_output,
)
from benchmarks.simulation.work import MeasuredWork, QueryWork, evenly_spread
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.ranking import Corruptor, Query, corrupted_queries


def main() -> int:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "wn18rr")
    parser.add_argument(
        "--triples", type=int, default=200, help="number of test triples, each taken on both sides"
    )
    parser.add_argument("--corruptions", type=int, default=255, help="corruptions sampled for each query")
    parser.add_argument(
        "--whole", type=int, default=3, help="queries that are also measured against all entities"
    )
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.triples, parsed.corruptions, "both")
    evaluator = CompiledEvaluator(workload.dataset, workload.policy, workload.settings)
    evaluator.warm_up()
    everything = Corruptor(workload.dataset)
    measured = [measure(evaluator, workload.dataset, everything, query) for query in workload.queries]
    whole, checked = [], []
    for place in evenly_spread(np.array([query.seconds_per_candidate for query in measured]), parsed.whole):
        query = workload.queries[place]
        (complete,) = corrupted_queries([query.triple], (query.side,), everything)
        whole.append(measure(evaluator, workload.dataset, everything, complete))
        checked.append(
            {
                "relation": whole[-1].relation,
                "side": query.side,
                "ms per candidate, sample": measured[place].seconds_per_candidate * 1e3,
                "all": whole[-1].seconds_per_candidate * 1e3,
                "steps per candidate, sample": measured[place].steps / measured[place].num_candidates,
                "all entities": whole[-1].steps / whole[-1].num_candidates,
            }
        )
    work = MeasuredWork(len(workload.dataset.splits["test"]) * 2, tuple(measured), tuple(whole))
    print_table(rows_by_relation(work))
    print_table(checked)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "work": work.to_dict()})
    return 0


def measure(evaluator: CompiledEvaluator, dataset: Dataset, everything: Corruptor, query: Query) -> QueryWork:
    """Evaluates the candidates of ``query``; ``everything`` counts those against all entities."""
    candidates = list(query.candidates)
    before, began = evaluator.work, time.process_time()
    outcomes = evaluator.evaluate(candidates)
    seconds = time.process_time() - began
    return QueryWork(
        dataset.vocabulary.predicates[query.triple.predicate - 1],
        query.side,
        len(candidates),
        1 + everything.count(query.triple, query.side),
        sum(outcome.steps for outcome in outcomes),
        evaluator.work.states_scored - before.states_scored,
        seconds,
    )


def rows_by_relation(work: MeasuredWork) -> list[dict[str, Any]]:
    """Returns a table of the work of queries against all entities, by relation and side, the largest share first."""
    whole_seconds = work.whole_seconds()
    groups: dict[tuple[str, str], list[int]] = {}
    for place, query in enumerate(work.queries):
        groups.setdefault((query.relation, query.side), []).append(place)
    rows = []
    for (relation, side), places in groups.items():
        seconds = whole_seconds[places]
        candidates = sum(work.queries[place].num_all_candidates for place in places)
        rows.append(
            {
                "relation": relation,
                "side": side,
                "queries": len(places),
                "ms per candidate": 1e3 * float(seconds.sum()) / candidates,
                "s per query: median": float(np.median(seconds)),
                "largest": float(seconds.max()),
                "share of the work %": 100 * float(seconds.sum() / whole_seconds.sum()),
            }
        )
    return sorted(rows, key=lambda row: -row["share of the work %"])


if __name__ == "__main__":
    raise SystemExit(main())
