"""How long an evaluation takes by one process and by several, alone and beside busy processes.

    python -m benchmarks.processors
    python -m benchmarks.processors --busy 4

The ways take turns. ``threads`` is one process whose torch has as many threads as there are processors; ``processes``
is one process for each, with one thread each. ``--busy`` starts loops that do nothing but compute, at the same
priority, and measures each way beside them as well. The outcomes of all ways are compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    SHARED,
    busy_loops,
    interleaved,
    load_workload,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.evaluator import Evaluator, create_evaluator
from proofrank.core.evaluator.parallel import ParallelEvaluator, usable_processors
from proofrank.core.prover import Candidate, Outcome

RECORDINGS = {
    "family": "family-seed0",
    "countries_s3": "countries_s3-seed0",
    "umls": "umls-seed0",
    "nations": "nations-seed0",
    "wn18rr": "wn18rr-seed0",
}

Way = Callable[[Sequence[Candidate]], Sequence[Outcome]]


def main() -> int:
    """Measures each dataset and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(RECORDINGS), metavar="NAME")
    parser.add_argument("--engine", default="eager", metavar="NAME")
    parser.add_argument("--queries", type=int, default=16, help="triples of each recording (default: 16)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="busy loops beside (default: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parsed = parser.parse_args()
    number = usable_processors()
    print(f"{machine()}; {number} processors may be used")
    rows: list[dict[str, Any]] = []
    for name in parsed.datasets:
        own = list(_rows(name, number, parsed))
        print(*own, sep="\n", flush=True)
        rows += own
        # After each, so that a run that is stopped keeps its rows.
        write_output(parsed.json, {"rows": rows})
    print_table(rows)
    return 0


def _rows(name: str, num_processors: int, parsed: argparse.Namespace) -> Iterator[dict[str, Any]]:
    work = load_workload(
        SHARED / "data" / name, SHARED / "truth" / RECORDINGS[name], parsed.queries, 50, "both"
    )
    given = (parsed.engine, work.dataset, work.policy, work.settings)
    torch.set_num_threads(1)
    one = create_evaluator(*given, device="cpu")
    many = create_evaluator(*given, device="cpu", processes=num_processors)
    with ExitStack() as until_done:
        if isinstance(many, ParallelEvaluator):
            until_done.callback(many.close)
            many.warm_up()
        ways: dict[str, Way] = {
            "1 thread": one.evaluate,
            f"{num_processors} threads": _with_threads(one, num_processors),
            f"{num_processors} processes": many.evaluate,
        }
        outcomes = [list(way(work.candidates)) for way in ways.values()]
        if any(others != outcomes[0] for others in outcomes):
            raise SystemExit(f"{name}: the ways have different outcomes")
        alone = _medians(ways, work.candidates, parsed.repeats)
        beside: dict[str, float] = {}
        if parsed.busy:
            with busy_loops(parsed.busy):
                beside = _medians(ways, work.candidates, parsed.repeats)
    first = next(iter(alone.values()))
    for way, seconds in alone.items():
        row = {"dataset": name, "candidates": len(work.candidates), "way": way, "seconds": round(seconds, 3)}
        row["times as fast as 1 thread"] = round(first / seconds, 2)
        if beside:
            row[f"seconds beside {parsed.busy} loops"] = round(beside[way], 3)
            row["times its time alone"] = round(beside[way] / seconds, 2)
        yield row


def _with_threads(evaluator: Evaluator, number: int) -> Way:
    def evaluate(candidates: Sequence[Candidate]) -> Sequence[Outcome]:
        torch.set_num_threads(number)
        try:
            return evaluator.evaluate(candidates)
        finally:
            torch.set_num_threads(1)

    return evaluate


def _medians(ways: dict[str, Way], candidates: Sequence[Candidate], repeats: int) -> dict[str, float]:
    """The median of seconds of each way; the ways take turns."""
    contestants = {name: partial(way, candidates) for name, way in ways.items()}
    return {name: median(seconds) for name, seconds in interleaved(contestants, repeats).items()}


if __name__ == "__main__":
    sys.exit(main())
