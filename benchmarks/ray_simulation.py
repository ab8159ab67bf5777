"""Simulates how long WN18RR against all entities would take on many workers, and what would limit it.

python -m benchmarks.ray_simulation --json docs/benchmarks/ray-simulation.json

The model (``benchmarks/simulation``) plays the run event by event, with the work of queries drawn from a measurement
(``python -m benchmarks.query_work``) and with measured costs of the driver and the workers
(``python -m benchmarks.ray_costs``). Needs simpy: ``pip install 'proofrank[simulation]'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import add_output, arguments_of, print_table, write_output
from benchmarks.simulation.account import account_of, bounds_of
from benchmarks.simulation.cluster import Cluster, load_costs
from benchmarks.simulation.model import simulate
from benchmarks.simulation.shards import Shard, longest_first, shards_of_parts, shards_of_queries
from benchmarks.simulation.work import MeasuredWork, load_work

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


class Order(Enum):
    """The order in which shards are handed out.

    Attributes:
        DRAWN: as the triples come.
        BY_RELATION: triples of the relation with the longest mean time first, which may be known from an earlier run.
        LONGEST_FIRST: by the true time of each shard, which only a simulation knows.
    """

    DRAWN = auto()
    BY_RELATION = auto()
    LONGEST_FIRST = auto()


@dataclass(frozen=True)
class Plan:
    """One way to run the evaluation.

    cluster: workers and driver.
    triples_per_shard: number of whole triples, or the reciprocal of the number of parts into which a triple is cut.
    order: order in which shards are handed out.
    """

    cluster: Cluster
    triples_per_shard: Fraction
    order: Order = Order.DRAWN

    def shards(self, work: MeasuredWork, seed: int) -> list[Shard]:
        """Returns shards of as many triples as the split has, drawn from the measured ones."""
        drawn = work.draw_triples(work.num_triples, seed)
        if self.order is Order.BY_RELATION:
            drawn = drawn[np.argsort(-work.relation_seconds()[drawn], kind="stable")]
        work_seconds = work.triple_seconds()[drawn]
        size = self.triples_per_shard
        if size >= 1:
            shards = shards_of_queries(work_seconds, int(size))
        else:
            shards = shards_of_parts(work_seconds, size.denominator)
        return longest_first(shards) if self.order is Order.LONGEST_FIRST else shards


def main() -> int:
    """Runs the simulation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=FIGURES / "query-work-wn18rr.json")
    parser.add_argument("--costs", type=Path, default=FIGURES / "ray-costs.json")
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument(
        "--triples-per-shard",
        type=shard_size,
        nargs="+",
        default=[Fraction(size) for size in ("16", "4", "1", "1/4", "1/16")],
        metavar="N|1/N",
        help="whole triples, or a part of one (default: 16 4 1 1/4 1/16)",
    )
    parser.add_argument(
        "--shards-in-flight", type=int, default=2, help="number of shards that a worker holds"
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed of a worker, relative to the measured one (an assumption)",
    )
    parser.add_argument("--losses-per-worker-hour", type=float, default=0.0)
    parser.add_argument("--wire-ms", type=float, default=1.0, help="time of one way (an assumption)")
    parser.add_argument("--seeds", type=int, default=5, help="number of draws of the work")
    add_output(parser)
    parsed = parser.parse_args()
    work = load_work(parsed.work)
    driver, worker = load_costs(parsed.costs)
    figures = []
    for num_workers in parsed.workers:
        cluster = Cluster(
            num_workers,
            parsed.shards_in_flight,
            driver,
            worker,
            parsed.wire_ms / 1e3,
            parsed.speed,
            parsed.losses_per_worker_hour,
        )
        plans = {f"{size} a shard": Plan(cluster, size) for size in parsed.triples_per_shard}
        if Fraction(1) in parsed.triples_per_shard:
            whole = plans["1 a shard"]
            plans["1, one in flight"] = replace(whole, cluster=replace(cluster, shards_in_flight=1))
            alone = plans["1, one in flight"]
            for order, name in ((Order.BY_RELATION, "by relation"), (Order.LONGEST_FIRST, "longest first")):
                plans[f"1, {name}"] = replace(whole, order=order)
                plans[f"1, {name}, one in flight"] = replace(alone, order=order)
        figures += [
            {"workers": num_workers, "plan": name, **figures_of(plan, work, range(parsed.seeds))}
            for name, plan in plans.items()
        ]
    print_table([rounded(row) for row in figures])
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": figures})
    return 0


def figures_of(plan: Plan, work: MeasuredWork, seeds: Sequence[int]) -> dict[str, Any]:
    """Returns the figures of a plan: medians over draws of the work, times in seconds, shares in percent."""
    rows, bound_by, largest_losses, num_shards = [], [], [], 0
    for seed in seeds:
        shards = plan.shards(work, seed)
        run = simulate(shards, plan.cluster, seed=seed)
        account, bounds = account_of(run), bounds_of(shards, plan.cluster)
        num_shards = len(shards)
        bound_by.append(bounds.largest)
        largest_losses.append(account.largest_loss)
        rows.append(
            {
                "seconds": run.makespan,
                "worker hours": run.makespan * plan.cluster.num_workers / 3600,
                **{f"{name} %": 100 * share for name, share in asdict(account).items()},
                "driver busy %": 100 * run.driver_busy / run.makespan,
                "longest shard s": max(shard.work_seconds for shard in shards) / plan.cluster.speed,
                "losses": run.num_losses,
                "over its bound %": 100 * (run.makespan / max(asdict(bounds).values()) - 1),
            }
        )
    medians = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    seconds = [row["seconds"] for row in rows]
    return {
        "shards": num_shards,
        **medians,
        "least seconds": min(seconds),
        "most seconds": max(seconds),
        "bound by": most_frequent(bound_by),
        "largest loss": most_frequent(largest_losses),
    }


def most_frequent(names: Sequence[str]) -> str:
    """Returns the name that occurs most often."""
    return max(sorted(set(names)), key=names.count)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Rounds a row to three digits for printing, which exceeds the accuracy of the model."""
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in row.items()}


def shard_size(text: str) -> Fraction:
    """Parses ``16`` or ``1/16``, as the type of an option."""
    try:
        size = Fraction(text)
        is_good = size > 0 and 1 in (size.numerator, size.denominator)
    except (ValueError, ZeroDivisionError):
        is_good, size = False, Fraction(0)
    if not is_good:
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected a whole number such as 16 or a part such as 1/16"
        )
    return size


if __name__ == "__main__":
    raise SystemExit(main())
