"""Levels of pruning side by side: time, steps, what was left out, and whether every rank is the same.

    python -m benchmarks.pruning --dataset ../shared/data/family --policy ../shared/policies/family-trained
    python -m benchmarks.pruning --levels tolerance --split valid --queries 500 --tolerance 0.0005

Every level ranks the same queries in turn; ``tolerance`` stops when the MRR is certain to ``--tolerance``, up and down.
The time of the least model is given apart: it is computed once for a dataset.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.common import (
    SHARED,
    add_output,
    add_workload,
    arguments_of,
    interleaved,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.choices import SPLITS
from proofrank.core.evaluator import Evaluator, create_evaluator, settings_for
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.ranking import (
    Corruptor,
    Interval,
    LazyQueries,
    Pruning,
    PruningCounts,
    RankedQuery,
    Refinement,
    aggregate,
    rank_queries,
    sample_triples,
    sides_of,
)

LEVELS = ("none", "exact", "ranks", "tolerance")


@dataclass(frozen=True)
class Result:
    """What one level found.

    Attributes:
        counts: how many candidates took which way.
        mrr: its interval.
        num_open: candidates that are left open.
        ranked: the rankings, where they are known.
    """

    counts: PruningCounts
    mrr: Interval
    num_open: int = 0
    ranked: list[RankedQuery] | None = None


def main() -> int:
    """Runs the benchmark; returns 1 if a level gives another rank than the first, or an interval without its MRR."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=20, num_repeats=3)
    parser.set_defaults(policy=SHARED / "policies" / "family-trained", corruptions=None)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--side", default="both")
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--bucket", type=int, default=512)
    parser.add_argument("--levels", nargs="+", default=LEVELS, choices=LEVELS)
    parser.add_argument("--tolerance", type=float, default=0.001)
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="of a run to a tolerance")
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    triples = sample_triples(dataset.splits[parsed.split], parsed.queries, seed=0)
    work = LazyQueries(
        triples, [sides_of(parsed.side)] * len(triples), Corruptor(dataset, number=parsed.corruptions)
    )
    model = compute_least_model(dataset)
    evaluator = create_evaluator(
        parsed.engine, dataset, policy, settings_for(policy), buckets=[parsed.bucket]
    )
    results: dict[str, Result] = {}
    processor_seconds: dict[str, list[float]] = {name: [] for name in parsed.levels}

    def run(name: str, level: Callable[[], Result]) -> None:
        began = time.process_time()
        results[name] = level()
        processor_seconds[name].append(time.process_time() - began)

    levels = {
        name: partial(run, name, partial(_to_tolerance, evaluator, work, model, parsed))
        if name == "tolerance"
        else partial(run, name, partial(_at_level, evaluator, work, model, name))
        for name in parsed.levels
    }
    seconds = interleaved(levels, parsed.repeats)
    rows = [_row(name, results, seconds, median(processor_seconds[name])) for name in levels]
    print(machine())
    print(
        f"least model: {model.num_atoms} atoms, {'exact' if model.is_exact else 'a superset'}, {model.seconds:.1f} s"
    )
    print_table(rows)
    write_output(
        parsed.json,
        {
            "arguments": arguments_of(parsed),
            "rows": rows,
            "seconds": seconds,
            "processor_seconds": processor_seconds,
        },
    )
    return int(any(row["wrong"] for row in rows))


def _at_level(evaluator: Evaluator, work: LazyQueries, model: LeastModel, level: str) -> Result:
    pruning = None if level == "none" else Pruning(level, model)  # pyright: ignore[reportArgumentType]
    ranked = rank_queries(evaluator, work.all_queries(), pruning=pruning)
    counts = sum((PruningCounts.of(query.outcomes) for query in ranked), PruningCounts())
    mrr = aggregate(ranked).mrr
    return Result(counts, Interval(mrr, mrr), 0, ranked)


def _to_tolerance(
    evaluator: Evaluator, work: LazyQueries, model: LeastModel, parsed: argparse.Namespace
) -> Result:
    refinement = Refinement(evaluator, work, model)
    mrr = refinement.refine(parsed.tolerance, max_seconds=parsed.max_seconds)
    return Result(refinement.counts, mrr, int(refinement.so_far().num_open.sum()))


def _row(
    name: str, results: dict[str, Result], seconds: dict[str, list[float]], processor_seconds: float
) -> dict[str, Any]:
    result, first_name = results[name], next(iter(results))
    first = results[first_name]
    if result.ranked is None or first.ranked is None:
        wrong = int(not (result.mrr.low <= first.mrr.high and first.mrr.low <= result.mrr.high))
    else:
        wrong = sum(one.ranks != other.ranks for one, other in zip(result.ranked, first.ranked, strict=True))
    mrr = result.mrr
    return {
        "pruning": name,
        "s": median(seconds[name]),
        "processor s": processor_seconds,
        f"times as fast as {first_name}": median(
            [whole / own for whole, own in zip(seconds[first_name], seconds[name], strict=True)]
        ),
        "steps": result.counts.steps,
        "times fewer steps": first.counts.steps / result.counts.steps,
        "evaluated": result.counts.evaluated,
        "without a proof": result.counts.unprovable,
        "fallen behind": result.counts.fallen_behind,
        "open": result.num_open,
        "MRR": mrr.low if mrr.low == mrr.high else f"{mrr.low:.5f} to {mrr.high:.5f}",
        "wrong": wrong,
    }


if __name__ == "__main__":
    raise SystemExit(main())
