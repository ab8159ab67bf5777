"""Compiles the tick of each mode of CUDA for cards that are not there, and refuses what would be slow or wrong on them.

python -m benchmarks.gpu_gate --json gate.json
python -m benchmarks.gpu_gate --modes reduce-overhead --architectures 90

It needs triton and no GPU. It prints a table of what each tick launches, needs and moves, and its exit status is 1 if a
kernel spills registers, is a trap or stores nothing, if the host waits for the device, or if there are more launches
than committed. ``--source FOLDER`` keeps the generated programs. Kernels that were compiled before come from triton's
cache.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.common import arguments_of, print_table, write_output
from benchmarks.gpu_gate.absent_device import ARCHITECTURES
from benchmarks.gpu_gate.gate import examine, problems_of
from benchmarks.gpu_gate.limits import MOST_LAUNCHES, NUM_LANES
from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import settings_for
from proofrank.core.evaluator.modes import COMPILE_MODES
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy


def main() -> int:
    """Runs the gate."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_gate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--architectures", type=int, nargs="+", choices=list(ARCHITECTURES), metavar="SM",
                        default=list(ARCHITECTURES), help="80, 90 or 100; all by default")  # fmt: skip
    parser.add_argument("--modes", nargs="+", choices=COMPILE_MODES, default=COMPILE_MODES, metavar="MODE",
                        help="compile modes; all by default")  # fmt: skip
    parser.add_argument("--lanes", type=int, default=NUM_LANES)
    parser.add_argument("--dataset", type=Path, default=DATASET, help="default: the package's")
    parser.add_argument("--policy", type=Path, default=POLICY, help="default: the package's")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every launch and every kernel to FILE"
    )
    parser.add_argument("--first-variant", action="store_true",
                        help="compile each kernel once, not in every configuration that a card would try")  # fmt: skip
    parser.add_argument(
        "--source", type=Path, metavar="FOLDER", help="write the generated programs to FOLDER"
    )
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    ticks = list(
        examine(
            dataset,
            policy,
            settings_for(policy),
            EvaluatorOptions(buckets=(parsed.lanes,)),
            parsed.lanes,
            [ARCHITECTURES[capability] for capability in parsed.architectures],
            parsed.modes,
            with_variants=not parsed.first_variant,
        )
    )
    is_committed = (parsed.dataset, parsed.policy, parsed.lanes) == (DATASET, POLICY, NUM_LANES)
    most_launches = MOST_LAUNCHES if is_committed else {}
    problems = [problem for tick in ticks for problem in problems_of(tick, most_launches)]
    print_table([tick.row() for tick in ticks])
    print(*problems, sep="\n")
    write_output(
        parsed.json,
        {
            "arguments": arguments_of(parsed),
            "triton": version("triton"),
            "problems": problems,
            "ticks": [tick.details() for tick in ticks],
        },
    )
    if parsed.source is not None:
        parsed.source.mkdir(parents=True, exist_ok=True)
        for tick in ticks:
            for program in tick.programs:
                path = parsed.source / f"{tick.modes[0]}-{program.name}-{tick.target}.py"
                path.write_text(program.source)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
