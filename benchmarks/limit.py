"""The limit of an engine on this machine: the network's FLOPs over the rate of a plain product of its shapes.

python -m benchmarks.limit
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import functional

from benchmarks.common import (
    add_output,
    add_workload,
    arguments_of,
    load_workload,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.evaluator import CompiledEvaluator, create_evaluator
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.policy.precision import precisions_of


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=100, num_repeats=5)
    parser.add_argument("--lanes", type=int, default=512)
    parser.add_argument("--engine", default="eager", choices=("eager", "default"))
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, "both")
    candidates = workload.candidates
    rows = []
    for precision in precisions_of(torch.device("cpu")):
        evaluator = create_evaluator(
            parsed.engine,
            workload.dataset,
            workload.policy,
            workload.settings,
            precision=precision,
            buckets=(parsed.lanes,),
            device="cpu",
        )
        assert isinstance(evaluator, CompiledEvaluator)
        evaluator.warm_up()
        rate = _product_rate(workload.policy.network.config.hidden_dim, precision)
        seconds = []
        before = evaluator.work
        for _ in range(parsed.repeats):
            began = time.perf_counter()
            evaluator.evaluate(candidates)
            seconds.append(time.perf_counter() - began)
        done = evaluator.work - before
        states = done.states_scored / parsed.repeats
        flops = states * evaluator.flops_per_state
        busy = done.lanes_busy / parsed.repeats
        limit = flops / rate
        rows.append(
            {
                "precision": precision,
                "engine": evaluator.engine,
                "candidates": len(candidates),
                "steps": int(busy),
                "rows expanded per step": done.rows_expanded / parsed.repeats / busy,
                "facts checked per step": done.facts_checked / parsed.repeats / busy,
                "states scored per step": states / busy,
                "padding waste %": 100 * done.padding_waste,
                "lanes busy %": 100 * done.lanes_busy / done.lanes,
                "GFLOP": flops / 1e9,
                "plain product GFLOP/s": rate / 1e9,
                "limit ms per candidate": limit / len(candidates) * 1e3,
                "ms per candidate": median(seconds) / len(candidates) * 1e3,
                "of the limit %": 100 * limit / median(seconds),
            }
        )
    print(machine())
    print_table([{"": name, **{row["precision"]: row[name] for row in rows}} for name in rows[0]])
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    return 0


def _product_rate(width: int, precision: str) -> float:
    """Returns the FLOP/s of ``[chunk, width] x [width, width]``, the shape of nearly all of the network's work."""
    dtype = getattr(torch, precision)
    rows, weight = torch.randn(CHUNK_ROWS, width, dtype=dtype), torch.randn(width, width, dtype=dtype)
    bias = torch.randn(width, dtype=dtype)
    number = 200
    best = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(number):
            functional.linear(rows, weight, bias)
        best.append(time.perf_counter() - began)
    return 2 * CHUNK_ROWS * width * width * number / min(best)


if __name__ == "__main__":
    raise SystemExit(main())
