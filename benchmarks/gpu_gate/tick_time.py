"""Predicts the time of a tick on a card from what it launches, for the rows that ``benchmarks.gpu`` will measure.

python -m benchmarks.gpu_gate.tick_time --json docs/benchmarks/gpu-predicted.json

A tick takes, for each launch of its graph, the time between two launches plus the larger of bytes over bandwidth and
FLOPs over the rate of the products. Nothing is fitted to a measurement, because no GPU has run this. The prediction
takes every kernel to reach the card's full bandwidth or rate, and every look-up to miss the cache. Rows have the labels
of the tables ``tick`` and ``network`` of the stage ``limit`` (dataset family, calibrated buffers, mode
``reduce-overhead``), so that a run can be held against them; ``network`` is the compiled one. It needs ../shared and
triton, and minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    add_graph,
    arguments_of,
    load_workload,
    print_table,
    write_output,
)
from benchmarks.gpu_gate.absent_device import ARCHITECTURES
from benchmarks.gpu_gate.gate import examine
from benchmarks.gpu_gate.programs import Launch
from proofrank.core.evaluator.calibration import measure_demand
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.sample import sample_candidates


@dataclass(frozen=True)
class Card:
    """What the model knows of a card.

    Attributes:
        name: of the card.
        capability: 90 for sm_90.
        launch_seconds: time that one more kernel of a CUDA graph takes if it does nothing.
        bytes_per_second: bandwidth of the memory.
        flops_per_second: precision -> rate of matrix products, dense.
        sources: attribute -> where the number is from.
    """

    name: str
    capability: int
    launch_seconds: float
    bytes_per_second: float
    flops_per_second: dict[str, float]
    sources: dict[str, str]

    def seconds(self, launches: Iterable[Launch], precision: str) -> float:
        """The time of ``launches``, one after another in a graph."""
        rate = self.flops_per_second[precision]
        return sum(
            self.launch_seconds
            + max(
                ((launch.bytes_read or 0) + (launch.bytes_written or 0)) / self.bytes_per_second,
                launch.flops / rate,
            )
            for launch in launches
        )


H200 = Card(
    name="H200",
    capability=90,
    launch_seconds=1.3e-6,
    bytes_per_second=4.8e12,
    flops_per_second={"float32": 67e12, "tf32": 494e12},
    sources={
        "launch_seconds": "assumed; to be replaced by the first measurement",
        "bytes_per_second": "NVIDIA H200 data sheet: 4.8 TB/s",
        "flops_per_second": "NVIDIA H200 data sheet, SXM: FP32 67 TFLOPS; TF32 989 TFLOPS with sparsity, half of "
        "that dense",
    },
)


def main() -> int:
    """Runs the model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "family")
    parser.add_argument("--lanes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    work = load_workload(parsed.dataset, parsed.policy, 1, 1, "tail")
    sample = sample_candidates(work.dataset)
    demand = measure_demand(work.dataset, work.policy, work.settings, torch.device("cpu"), sample)
    rows: list[dict[str, Any]] = []
    for num_lanes in parsed.lanes:
        options = EvaluatorOptions(buckets=(num_lanes,), demand=demand)
        [tick] = examine(
            work.dataset,
            work.policy,
            work.settings,
            options,
            num_lanes,
            [ARCHITECTURES[H200.capability]],
            ["reduce-overhead"],
            with_machine_code=False,
        )
        [program] = tick.programs
        products = [place for place, launch in enumerate(program.launches) if launch.flops]
        # The network begins with the embedding's launch, before the first product.
        network = program.launches[products[0] - 1 : products[-1] + 1]
        # TF32 is float32's program with another setting of the library; bfloat16's converts more, and is left out.
        for precision in ("float32", "tf32"):
            rows.append(_row("tick", num_lanes, precision, program.launches))
            rows.append(_row("network", num_lanes, precision, network))
    rows.sort(key=lambda row: (row["table"], row["lanes"]))
    print_table(rows)
    write_output(
        parsed.json,
        {"arguments": arguments_of(parsed), "card": asdict(H200), "demand": asdict(demand), "rows": rows},
    )
    return 0


def _row(table: str, num_lanes: int, precision: str, launches: list[Launch]) -> dict[str, Any]:
    num_bytes = sum((launch.bytes_read or 0) + (launch.bytes_written or 0) for launch in launches)
    flops = sum(launch.flops for launch in launches)
    return {
        "table": table,
        "precision": precision,
        "lanes": num_lanes,
        "launches": len(launches),
        "MB": num_bytes / 1e6,
        "GFLOP": flops / 1e9,
        "us of launches": 1e6 * len(launches) * H200.launch_seconds,
        "ms": 1e3 * H200.seconds(launches, precision),
    }


if __name__ == "__main__":
    raise SystemExit(main())
