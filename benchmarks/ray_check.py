"""The simulation against the machine: a run with two Ray workers, predicted and measured.

python -m benchmarks.ray_check --json docs/benchmarks/ray-check.json

One process proves the shards one after another; from the seconds that each took, and the costs of
``python -m benchmarks.ray_costs``, the model predicts the run of the same shards on two workers, which is then made.
A second prediction takes the seconds that shards took in that run itself: what is left of its error is the model's,
without that of the machine, on which two workers at once are slower than one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import add_graph, add_output, arguments_of, print_table, write_output
from benchmarks.ray_costs import COMMAND, RayRun, run_on_ray
from benchmarks.ray_simulation import FIGURES
from benchmarks.simulation.cluster import Cluster, load_costs
from benchmarks.simulation.model import simulate
from benchmarks.simulation.shards import Shard

SHARDS_IN_FLIGHT = 2
"""That ``proofrank evaluate --on ray`` gives to a worker."""


OF_A_SHARD = ("shard", "steps", "began", "ended", "returned", "seconds", "idle_seconds", "process")
"""What is kept of a trace: nothing that names the machine."""


class Times(NamedTuple):
    """Of a run, in seconds: the whole command, and from the workers' first shards (their mean) to the last result."""

    command: float
    evaluation: float

    @classmethod
    def measured(cls, run: RayRun) -> Times:
        """Of a run on Ray."""
        return cls(run.seconds, run.last_returned - run.workers_began)

    @classmethod
    def predicted(cls, seconds: Sequence[float], cluster: Cluster) -> Times:
        """Of shards that take ``seconds`` each, in the order in which they are handed out."""
        run = simulate([Shard(1, each) for each in seconds], cluster)
        first = [next(span.began for span in spans if span.activity == "overhead") for spans in run.spans]
        return cls(run.makespan, run.makespan - cluster.driver.finish - statistics.mean(first))

    def over(self, other: Times) -> tuple[float, float]:
        """By how many percent these are more than ``other``."""
        return (100 * (self.command / other.command - 1), 100 * (self.evaluation / other.evaluation - 1))


def seconds_in_one_process(options: Sequence[str]) -> list[float]:
    """Seconds of each shard, by number, where one process proves them one after another."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        command = [
            sys.executable,
            "-c",
            COMMAND,
            "evaluate",
            "--threads",
            "1",
            *options,
            "--trace",
            str(trace),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return seconds_by_number(json.loads(trace.read_text())["shards"])


def seconds_by_number(shards: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds of the shards of a trace in the worker, by number."""
    return [shard["seconds"] for shard in sorted(shards, key=lambda shard: shard["shard"])]


def main() -> int:
    """Runs the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "wn18rr")
    parser.add_argument("--costs", type=Path, default=FIGURES / "ray-costs.json")
    parser.add_argument("--triples", type=int, default=40, help="test triples, a shard each, on both sides")
    parser.add_argument("--corruptions", type=int, default=300, help="per side")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="runs on Ray")
    parser.add_argument("--seed", type=int, default=1, help="of the draws; the costs were measured with 0")
    add_output(parser)
    parsed = parser.parse_args()
    driver, worker = load_costs(parsed.costs)
    # What a query costs besides its proofs is in the seconds of a trace.
    cluster = Cluster(parsed.workers, SHARDS_IN_FLIGHT, driver, replace(worker, per_query=0.0))
    alone = seconds_in_one_process(
        [
            *("--dataset", str(parsed.dataset), "--policy", str(parsed.policy), "--seed", str(parsed.seed)),
            *("--queries", str(parsed.triples), "--corruptions", str(parsed.corruptions), "--side", "both"),
            *("--queries-per-shard", "1"),
        ]
    )
    predicted = Times.predicted(alone, cluster)
    rows, traces = [], []
    for repeat in range(parsed.repeats):
        run = run_on_ray(
            parsed.dataset,
            parsed.policy,
            parsed.triples,
            parsed.corruptions,
            parsed.workers,
            1,
            parsed.seed,
        )
        traces.append([{name: shard[name] for name in OF_A_SHARD} for shard in run.shards])
        measured, together = Times.measured(run), seconds_by_number(run.shards)
        from_trace = Times.predicted(together, cluster)
        rows.append(
            {
                "run": repeat,
                "command, measured s": measured.command,
                "evaluation, measured s": measured.evaluation,
                "command, predicted s": predicted.command,
                "evaluation, predicted s": predicted.evaluation,
                "command, error %": predicted.over(measured)[0],
                "evaluation, error %": predicted.over(measured)[1],
                "evaluation from its trace, predicted s": from_trace.evaluation,
                "evaluation from its trace, error %": from_trace.over(measured)[1],
                "work together / alone": sum(together) / sum(alone),
            }
        )
    print_table(rows)
    write_output(
        parsed.json,
        {"arguments": arguments_of(parsed), "seconds alone": alone, "runs": rows, "traces": traces},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
