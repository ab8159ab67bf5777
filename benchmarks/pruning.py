"""Levels of pruning side by side: time, steps and states, what was left out, and whether every rank is the same.

    python -m benchmarks.pruning --dataset ../shared/data/family --policy ../shared/policies/family-trained

Every level ranks the same queries in turn. The time of the least model is given apart: it is computed once for a
dataset.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch

from benchmarks.common import (
    SHARED,
    add_output,
    add_workload,
    arguments_of,
    interleaved,
    load_workload,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.evaluator import create_evaluator
from proofrank.core.provability import compute_least_model
from proofrank.core.ranking import Pruning, PruningCounts, RankedQuery, aggregate, rank_queries


def main() -> int:
    """Runs the benchmark; returns 1 if a level gives another rank than ``none``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=20, num_repeats=3)
    parser.set_defaults(policy=SHARED / "policies" / "family-trained", corruptions=None)
    parser.add_argument("--side", default="both")
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--bucket", type=int, default=512)
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, parsed.side)
    model = compute_least_model(workload.dataset)
    evaluator = create_evaluator(
        parsed.engine, workload.dataset, workload.policy, workload.settings, buckets=[parsed.bucket]
    )
    ranked: dict[str, list[RankedQuery]] = {}

    def run(name: str, pruning: Pruning | None) -> None:
        ranked[name] = rank_queries(evaluator, workload.queries, pruning=pruning)

    levels = {"none": None, "exact": Pruning("exact", model), "ranks": Pruning("ranks", model)}
    seconds = interleaved(
        {name: partial(run, name, pruning) for name, pruning in levels.items()}, parsed.repeats
    )
    rows = [_row(name, ranked[name], ranked["none"], seconds) for name in levels]
    print(machine())
    print(
        f"least model: {model.num_atoms} atoms, {'exact' if model.is_exact else 'a superset'}, {model.seconds:.1f} s"
    )
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows, "seconds": seconds})
    return int(any(row["other ranks"] for row in rows))


def _row(
    name: str, ranked: list[RankedQuery], whole: list[RankedQuery], seconds: dict[str, list[float]]
) -> dict[str, Any]:
    counts = sum((PruningCounts.of(query.outcomes) for query in ranked), PruningCounts())
    whole_steps = sum(int(query.outcomes.steps.sum()) for query in whole)
    return {
        "pruning": name,
        "s": median(seconds[name]),
        "times as fast": median(
            [none / own for none, own in zip(seconds["none"], seconds[name], strict=True)]
        ),
        "steps": counts.steps,
        "times fewer steps": whole_steps / counts.steps,
        "evaluated": counts.evaluated,
        "without a proof": counts.unprovable,
        "fallen behind": counts.fallen_behind,
        "MRR": aggregate(ranked).mrr,
        "other ranks": sum(one.ranks != other.ranks for one, other in zip(ranked, whole, strict=True)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
