"""The costs of a bulk run on Ray around the evaluation, on this machine: the driver, a worker's start, a shard.

python -m benchmarks.ray_costs --json docs/benchmarks/ray-costs.json

Made from three runs of ``proofrank evaluate --on ray`` with two workers of one thread each: few and many tiny shards
(the driver's cost of one more shard), and shards of some tenths of a second (a worker's time between two of them). A
worker's cost of a triple around its proofs is measured against all entities, with outcomes that exist at once. Two
figures are assumed rather than measured: asking for one worker, and the time between the driver's looks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    add_graph,
    add_output,
    arguments_of,
    load_workload,
    print_table,
    write_output,
)
from proofrank.core.evaluator import Evaluator
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries

ASSUMED_SECONDS_PER_WORKER = 0.01
RAY_DATA_ROUND_SECONDS = 0.1
"""Time for which Ray Data's driver waits for results before it hands out shards again."""

COMMAND = """
import sys, time
from proofrank.service.cli.main import main
status = main(sys.argv[1:])
print(time.process_time())
raise SystemExit(status)
"""


@dataclass(frozen=True)
class RayRun:
    """A run of the command on Ray.

    seconds: duration of the whole command, from outside.
    driver_processor_seconds: processor seconds of the driver's process, including its start.
    shards: shards of its trace (``proofrank.service.bulk.trace``), in the order in which they came back.
    """

    seconds: float
    driver_processor_seconds: float
    shards: list[dict[str, Any]]

    @property
    def workers_began(self) -> float:
        """Mean time at which workers began their first shards, since the driver began."""
        first: dict[tuple[str, int], float] = {}
        for shard in self.shards:
            worker = (shard["node"], shard["process"])
            first[worker] = min(shard["began"], first.get(worker, shard["began"]))
        return statistics.mean(first.values())

    @property
    def mean_idle_seconds(self) -> float:
        """Mean time of a worker between two shards."""
        return statistics.mean(
            shard["idle_seconds"] for shard in self.shards if shard["idle_seconds"] is not None
        )

    @property
    def last_returned(self) -> float:
        """Time at which the driver had the last result, since the driver began."""
        return max(shard["returned"] for shard in self.shards)


def run_on_ray(
    dataset: Path,
    policy: Path,
    triples: int,
    corruptions: int,
    workers: int,
    triples_per_shard: int,
    seed: int = 0,
    results: Path | None = None,
) -> RayRun:
    """Evaluates a seeded sample of test triples on both sides, with ``workers`` of one thread each.

    Writes the rankings to ``results``, if it is given.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        began = time.perf_counter()
        answer = subprocess.run(
            [
                *(sys.executable, "-c", COMMAND, "evaluate", "--on", "ray", "--workers", str(workers)),
                *("--dataset", str(dataset), "--policy", str(policy), "--threads", "1", "--seed", str(seed)),
                *("--queries", str(triples), "--corruptions", str(corruptions), "--side", "both"),
                *("--queries-per-shard", str(triples_per_shard), "--trace", str(trace)),
                *(() if results is None else ("--results", str(results))),
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - began
        return RayRun(seconds, float(answer.stdout.split()[-1]), json.loads(trace.read_text())["shards"])


class _AtOnce:
    """An evaluator whose outcomes exist at once, so that only the cost around the proofs remains."""

    engine = "none"

    def evaluate(
        self,
        candidates: Sequence[Candidate],
        *,
        recorded_actions: Sequence[Sequence[int]] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Outcome]:
        return [Outcome(False, 0.0, 1, (0,))] * len(candidates)


def seconds_around_a_triple(dataset: Dataset, number: int) -> float:
    """Returns the processor seconds of a test triple without proofs: all corruptions on both sides, and its ranks."""
    evaluator: Evaluator = _AtOnce()
    corruptor = Corruptor(dataset)
    triples = dataset.splits["test"][: number + 1]
    rank_queries(evaluator, corrupted_queries(triples[:1], ("head", "tail"), corruptor))
    began = time.process_time()
    for triple in triples[1:]:
        rank_queries(evaluator, corrupted_queries([triple], ("head", "tail"), corruptor))
    return (time.process_time() - began) / number


def main() -> int:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "wn18rr")
    parser.add_argument("--few", type=int, default=50, help="tiny shards of the first run")
    parser.add_argument("--many", type=int, default=250, help="tiny shards of the second run")
    parser.add_argument(
        "--corruptions", type=int, default=300, help="corruptions on each side, in the third run"
    )
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    workload = load_workload(parsed.dataset, parsed.policy, 1, 1, "both")
    around = seconds_around_a_triple(workload.dataset, 10)
    few = run_on_ray(parsed.dataset, parsed.policy, parsed.few, 1, 2, 1)
    many = run_on_ray(parsed.dataset, parsed.policy, parsed.many, 1, 2, 1)
    full = run_on_ray(parsed.dataset, parsed.policy, 20, parsed.corruptions, 2, 1)
    driver_per_shard = (many.driver_processor_seconds - few.driver_processor_seconds) / (
        parsed.many - parsed.few
    )
    way_back = [shard["returned"] - shard["ended"] for shard in full.shards]
    runs = (few, many, full)
    figures = {
        "driver": {
            "start": statistics.median(run.seconds - run.last_returned for run in runs),
            "per_worker": ASSUMED_SECONDS_PER_WORKER,
            "per_shard": driver_per_shard,
            "round": RAY_DATA_ROUND_SECONDS,
        },
        "worker": {
            "start": statistics.median(run.workers_began for run in runs),
            "per_shard": full.mean_idle_seconds,
            "per_query": around,
        },
    }
    print_table(
        [{"who": who, "cost": name, "s": s} for who, costs in figures.items() for name, s in costs.items()]
    )
    raw = {
        "seconds of the commands": [run.seconds for run in runs],
        "processor seconds of the drivers": [run.driver_processor_seconds for run in runs],
        "workers began, mean s": [run.workers_began for run in runs],
        "last result back, s": [run.last_returned for run in runs],
        "a result's way back, median s": statistics.median(way_back),
        "idle between shards, mean s": [run.mean_idle_seconds for run in runs],
        "assumed": ["driver per_worker", "driver round"],
    }
    write_output(parsed.json, {"arguments": arguments_of(parsed), **figures, "raw": raw})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
