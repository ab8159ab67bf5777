"""All modes side by side: warm-up, time per query and candidate, MRR, agreement with the original in proofs and ranks.

    python -m benchmarks.modes --dataset ../shared/data/family --policy ../shared/truth/family-seed0
    python -m benchmarks.modes --policy ../shared/policies/family-trained --pruning exact ranks

With ``--pruning`` each mode also ranks the same queries at those levels, in turn with the others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    Workload,
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
from proofrank.core.choices import PRUNING_LEVELS, PruningLevel
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import CompiledEvaluator, Evaluator, create_evaluator
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.prover import Outcome
from proofrank.core.ranking import Pruning, RankedQuery, aggregate, rank_queries

CONTESTANTS = (
    ("original", True, "float32"),
    ("eager", True, "float32"),
    ("default", True, "float32"),
    ("default", False, "float32"),
    ("reduce-overhead", True, "float32"),
    ("reduce-overhead", False, "float32"),
    ("separate", True, "float32"),
    ("eager", True, "bfloat16"),
    ("default", True, "bfloat16"),
)


def main() -> int:
    """Runs the benchmark; returns 1 if a mode's MRR differs from the original's in float32."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=20, num_repeats=3)
    parser.add_argument("--side", default="both")
    parser.add_argument("--buckets", type=int, nargs="+", default=[512])
    parser.add_argument("--only", nargs="+", metavar="ENGINE", help="only these engines")
    parser.add_argument(
        "--plain", action="store_true", help="without bfloat16 and without graphs that may be partial"
    )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure seconds on a processor, which other programs change less than those by the clock",
    )
    parser.add_argument(
        "--pruning", nargs="+", default=[], choices=PRUNING_LEVELS[1:], help="levels to rank at beside none"
    )
    parser.add_argument("--cache-folder", type=Path, help="folder of compiled artifacts")
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, parsed.side)
    evaluators: dict[str, Evaluator] = {}
    warm_up: dict[str, float] = {}
    for engine, fullgraph, precision in CONTESTANTS:
        if parsed.only and engine not in parsed.only:
            continue
        if parsed.plain and not (fullgraph and precision == "float32"):
            continue
        name = (
            engine
            + ("" if fullgraph else ", partial graphs")
            + ("" if precision == "float32" else f", {precision}")
        )
        began = time.perf_counter()
        num_graphs_before = compile_counts().graphs
        try:
            evaluator = create_evaluator(
                engine,
                workload.dataset,
                workload.policy,
                workload.settings,
                fullgraph=fullgraph,
                precision=precision,
                buckets=parsed.buckets,
                cache_folder=parsed.cache_folder,
            )
        except EvaluationError as error:
            print(f"{name}: left out: {error}")
            continue
        if isinstance(evaluator, CompiledEvaluator):
            asked = evaluator.mode
            evaluator.warm_up()
            if evaluator.mode != asked:
                print(f"{name}: left out: it cannot be compiled here")
                continue
            if asked.is_compiled and compile_counts().graphs == num_graphs_before:
                print(f"{name}: left out: it runs on what was compiled for a mode above")
                continue
        evaluators[name] = evaluator
        warm_up[name] = time.perf_counter() - began
        num_graphs = compile_counts().graphs - num_graphs_before
        print(f"{name}: ready after {warm_up[name]:.1f} s, {num_graphs} graphs of its own", flush=True)
    candidates = workload.candidates
    outcomes: dict[str, Sequence[Outcome]] = {}

    def run(name: str) -> None:
        # The original is fastest with one thread, because its matrices are too small for two.
        torch.set_num_threads(1 if name == "original" else parsed.threads)
        outcomes[name] = evaluators[name].evaluate(candidates)

    levels = _levels(workload, parsed.pruning)
    pruned: dict[tuple[str, PruningLevel], list[RankedQuery]] = {}

    def run_pruned(name: str, level: PruningLevel) -> None:
        torch.set_num_threads(1 if name == "original" else parsed.threads)
        pruned[name, level] = rank_queries(evaluators[name], workload.queries, pruning=levels[level])

    contestants = {}
    for name in evaluators:
        contestants[name, "none"] = partial(run, name)
        contestants |= {(name, level): partial(run_pruned, name, level) for level in levels}
    clock = time.process_time if parsed.processor_time else time.perf_counter
    seconds = interleaved(contestants, parsed.repeats, clock)
    rows = [
        _row(name, workload, evaluators[name], outcomes, warm_up[name], seconds[name, "none"])
        for name in evaluators
    ]
    base = next((row["ms per candidate"] for row in rows if row["mode"] == "original"), None)
    if base is not None:
        for row in rows:
            row["times the original"] = base / row["ms per candidate"]
    for name, row in zip(evaluators, rows, strict=True):
        ranked = rank_queries(_Replayed(outcomes[name], evaluators[name].engine), workload.queries)
        for level in levels:
            row |= _pruned_columns(level, ranked, pruned[name, level], seconds[name, level], row, base)
    print(machine())
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    exact = {row["MRR"] for row in rows if "bfloat16" not in row["mode"]}
    is_same = all(not row[f"{level}: changed ranks"] for row in rows for level in levels)
    return 0 if len(exact) <= 1 and is_same else 1


def _levels(workload: Workload, names: Sequence[PruningLevel]) -> dict[PruningLevel, Pruning]:
    """The levels of pruning by name; the least model is computed once, before anything is timed."""
    if not names:
        return {}
    from proofrank.core.provability import compute_least_model

    model = compute_least_model(workload.dataset)
    return {name: Pruning(name, model) for name in names}


def _pruned_columns(
    level: PruningLevel,
    ranked: Sequence[RankedQuery],
    pruned: Sequence[RankedQuery],
    seconds: list[float],
    row: dict[str, Any],
    base: float | None,
) -> dict[str, Any]:
    """What one mode took at one level, and how many of its ranks are others than without pruning."""
    ms_per_query = median(seconds) / len(ranked) * 1e3
    columns: dict[str, Any] = {
        f"{level}: ms per query": ms_per_query,
        f"{level}: times none": row["ms per query"] / ms_per_query,
    }
    if base is not None:
        ms_per_candidate = ms_per_query * row["ms per candidate"] / row["ms per query"]
        columns[f"{level}: times the original"] = base / ms_per_candidate
    columns[f"{level}: changed ranks"] = sum(
        mine.ranks != theirs.ranks for mine, theirs in zip(pruned, ranked, strict=True)
    )
    return columns


def _row(
    name: str,
    workload: Workload,
    evaluator: Evaluator,
    outcomes: dict[str, Sequence[Outcome]],
    warm_up: float,
    seconds: list[float],
) -> dict[str, Any]:
    own = outcomes[name]
    # The reference is the original, or the first engine if the original was left out.
    original = outcomes.get("original", next(iter(outcomes.values())))
    same = sum(
        mine.actions == theirs.actions and mine.success == theirs.success
        for mine, theirs in zip(own, original, strict=True)
    )
    gap = max(
        (
            abs(mine.log_probability - theirs.log_probability)
            for mine, theirs in zip(own, original, strict=True)
            if mine.actions == theirs.actions
        ),
        default=0.0,
    )
    ranked, wanted = (
        rank_queries(_Replayed(known, evaluator.engine), workload.queries) for known in (own, original)
    )
    changed = sum(mine.ranks != theirs.ranks for mine, theirs in zip(ranked, wanted, strict=True))
    work = evaluator.work if isinstance(evaluator, CompiledEvaluator) else None
    return {
        "mode": name,
        "warm-up s": warm_up,
        "ms per query": median(seconds) / len(workload.queries) * 1e3,
        "ms per candidate": median(seconds) / len(own) * 1e3,
        "spread %": (max(seconds) - min(seconds)) / median(seconds) * 100,
        "MRR": round(aggregate(ranked).mrr, 6),
        "same proofs": f"{same} of {len(own)}",
        "changed ranks": f"{changed} of {len(ranked)}",
        "largest difference of a log-probability": gap,
        "padding waste %": 100 * work.padding_waste if work is not None else 0.0,
    }


class _Replayed:
    """Returns known outcomes, to rank them."""

    def __init__(self, outcomes: Sequence[Outcome], engine: str) -> None:
        self.engine = engine
        self._outcomes = outcomes

    def evaluate(self, candidates: Any, **_: Any) -> Sequence[Outcome]:
        """Returns the outcomes, whatever the candidates."""
        return self._outcomes


if __name__ == "__main__":
    raise SystemExit(main())
