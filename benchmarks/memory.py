"""Memory of a bucket by its number of lanes, computed from the buffers and from a tick on tensors without memory.

python -m benchmarks.memory --dataset ../shared/data/family --policy ../shared/truth/family-seed0
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.common import add_graph, add_output, arguments_of, load_workload, print_table, write_output
from proofrank.core.evaluator.calibration import measure_demand, sample_candidates
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.memory import memory_of
from proofrank.core.evaluator.options import EvaluatorOptions


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "family")
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 512, 4096, 16384, 65536])
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    work = load_workload(parsed.dataset, parsed.policy, 1, 1, "both")
    sample = sample_candidates(work.dataset)
    demand = measure_demand(work.dataset, work.policy, work.settings, torch.device("cpu"), sample)
    print(demand)
    rows = []
    for num_lanes in parsed.lanes:
        evaluator = CompiledEvaluator(
            work.dataset,
            work.policy,
            work.settings,
            EvaluatorOptions(buckets=(num_lanes,), demand=demand),
            compile_mode="captured",
        )
        capacities = evaluator.capacities[num_lanes]
        memory = memory_of(evaluator.make_tick(num_lanes))
        rows.append(
            {
                "lanes": num_lanes,
                "rows": capacities.num_rows,
                "checks": capacities.num_checks,
                "states": capacities.num_states,
                "lanes MiB": memory.lanes / 2**20,
                "of a tick MiB": memory.temporary / 2**20,
                "pool, tables and policy MiB": (memory.static - memory.lanes) / 2**20,
                "asked of the device MiB": evaluator.required_bytes / 2**20,
            }
        )
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "demand": vars(demand), "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
