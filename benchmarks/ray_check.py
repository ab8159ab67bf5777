"""Compares a run with two Ray workers with one process (the same rows), and with the simulation (the same seconds).

python -m benchmarks.ray_check --json docs/benchmarks/ray-check.json

Every row of the results must be equal, except for times; otherwise the check fails.

One process proves the shards one after another. From the seconds of each, and the costs of ``python -m
benchmarks.ray_costs``, the model predicts the run of the same shards on two workers, which is then made. A second
prediction uses the seconds of the shards in that run itself. Its remaining error is the model's, without that of the
machine, on which two workers at once are slower than one.
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
"""Number of shards that ``proofrank evaluate --on ray`` gives to a worker."""


OF_A_SHARD = ("shard", "steps", "began", "ended", "returned", "seconds", "idle_seconds", "process")
"""Fields of a trace that are kept: none names the machine."""


class Times(NamedTuple):
    """Times of a run, in seconds: the whole command, and from the workers' first shards (their mean) to the last
    result.
    """

    command: float
    evaluation: float

    @classmethod
    def measured(cls, run: RayRun) -> Times:
        """Returns the times of a run on Ray."""
        return cls(run.seconds, run.last_returned - run.workers_began)

    @classmethod
    def predicted(cls, seconds: Sequence[float], cluster: Cluster) -> Times:
        """Returns the predicted times for shards that take ``seconds`` each, in the order in which they are
        handed out.
        """
        run = simulate([Shard(1, each) for each in seconds], cluster)
        first = [next(span.began for span in spans if span.activity == "overhead") for spans in run.spans]
        return cls(run.makespan, run.makespan - cluster.driver.finish - statistics.mean(first))

    def over(self, other: Times) -> tuple[float, float]:
        """Returns by how many percent these times exceed ``other``."""
        return (100 * (self.command / other.command - 1), 100 * (self.evaluation / other.evaluation - 1))


class DifferenceError(Exception):
    """Two runs of one evaluation ranked differently."""


def rows_in_order(results: Path) -> list[dict[str, Any]]:
    """Returns the rows of a ``FILE.jsonl`` of results by query and side, without their times."""
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return sorted(
        ({name: value for name, value in row.items() if name != "seconds"} for row in rows),
        key=lambda row: (row["query_index"], row["side"]),
    )


def check_equal(alone: Sequence[dict[str, Any]], on_ray: Sequence[dict[str, Any]]) -> None:
    """Compares the rows of one process with those of a run on Ray, both in order.

    Raises:
        DifferenceError: there are no rows, their numbers differ, or two differ; names the first that do.
    """
    if not alone or len(alone) != len(on_ray):
        raise DifferenceError(f"{len(alone)} rows of one process and {len(on_ray)} on Ray")
    for mine, other in zip(alone, on_ray, strict=True):
        if mine != other:
            raise DifferenceError(f"one process has {mine}, and Ray {other}")


def seconds_in_one_process(options: Sequence[str], results: Path) -> list[float]:
    """Returns the seconds of each shard, by number, in one process that proves them in turn and writes ``results``."""
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
            "--results",
            str(results),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return seconds_by_number(json.loads(trace.read_text())["shards"])


def seconds_by_number(shards: Sequence[dict[str, Any]]) -> list[float]:
    """Returns the worker's seconds of the shards of a trace, by number."""
    return [shard["seconds"] for shard in sorted(shards, key=lambda shard: shard["shard"])]


def check(parsed: argparse.Namespace, cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Returns the figures of the runs that the options ask for; the results of each are in ``folder``.

    Raises:
        DifferenceError: a run on Ray ranked differently from one process.
    """
    alone = seconds_in_one_process(
        [
            *("--dataset", str(parsed.dataset), "--policy", str(parsed.policy), "--seed", str(parsed.seed)),
            *("--queries", str(parsed.triples), "--corruptions", str(parsed.corruptions), "--side", "both"),
            *("--queries-per-shard", "1"),
        ],
        folder / "alone.jsonl",
    )
    expected = rows_in_order(folder / "alone.jsonl")
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
            folder / f"run-{repeat}.jsonl",
        )
        check_equal(expected, rows_in_order(folder / f"run-{repeat}.jsonl"))
        traces.append([{name: shard[name] for name in OF_A_SHARD} for shard in run.shards])
        measured, together = Times.measured(run), seconds_by_number(run.shards)
        from_trace = Times.predicted(together, cluster)
        rows.append(
            {
                "run": repeat,
                "rows, all equal": len(expected),
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
    return {"seconds alone": alone, "runs": rows, "traces": traces}


def main() -> int:
    """Runs the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "wn18rr")
    parser.add_argument("--costs", type=Path, default=FIGURES / "ray-costs.json")
    parser.add_argument(
        "--triples", type=int, default=40, help="number of test triples, one shard each, on both sides"
    )
    parser.add_argument("--corruptions", type=int, default=300, help="corruptions on each side")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="number of runs on Ray")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the draws; the costs were measured with 0"
    )
    add_output(parser)
    parsed = parser.parse_args()
    driver, worker = load_costs(parsed.costs)
    # The cost of a query around its proofs is included in the seconds of a trace.
    cluster = Cluster(parsed.workers, SHARDS_IN_FLIGHT, driver, replace(worker, per_query=0.0))
    with tempfile.TemporaryDirectory() as folder:
        figures = check(parsed, cluster, Path(folder))
    print_table(figures["runs"])
    write_output(parsed.json, {"arguments": arguments_of(parsed), **figures})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
