"""The time of ``proofrank evaluate`` against the number of processors that it may run on.

    python -m benchmarks.cores
    python -m benchmarks.cores --cores 1 2 --datasets family --pruning none --scale 0.5

Each evaluation is a process of its own, which ``taskset`` binds to the first so many of the processors that this one
may run on. All numbers of processors take turns. Seconds are of the whole command by the clock, start included, and of
the evaluation alone. Metrics must be the same whatever the number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import SHARED, arguments_of, machine, median, print_table, write_output


class Work(NamedTuple):
    """An evaluation: triples of test at ``none`` and at ``exact``, and corruptions of each side."""

    none: int
    exact: int
    corruptions: str = "50"


WORK = {
    "family": Work(100, 300),
    "countries_s3": Work(24, 24, "all"),
    "umls": Work(250, 500),
    "nations": Work(200, 200, "all"),
    "wn18rr": Work(500, 1000),
}
"""What takes long enough for further processes to join, where the split has so many triples."""


def main() -> int:
    """Measures each dataset and prints a table; 1 if a metric depends on the number of processors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(WORK), choices=WORK, metavar="NAME")
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--pruning", nargs="+", default=["none", "exact"], choices=("none", "exact"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of triples (default: 1)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parsed = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if max(parsed.cores) > len(processors):
        parser.error(f"--cores {max(parsed.cores)}: this process may run on {len(processors)}")
    print(f"{machine()}; {len(processors)} processors may be used")
    rows: list[dict[str, Any]] = []
    is_same = True
    for name in parsed.datasets:
        for level in parsed.pruning:
            num_triples = max(int(getattr(WORK[name], level) * parsed.scale), 1)
            runs = list(_runs(name, level, num_triples, processors, parsed.cores, parsed.repeats))
            is_same &= len({json.dumps(run.metrics, sort_keys=True) for run in runs}) == 1
            rows += _rows(name, level, runs, parsed.cores)
            print(*rows[-len(parsed.cores) :], sep="\n", flush=True)
            # After each, so that a run that is stopped keeps its rows.
            write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    print_table(rows)
    if not is_same:
        print("a metric depends on the number of processors")
    return 0 if is_same else 1


class Run(NamedTuple):
    """One evaluation: on how many processors, seconds of the command and of the evaluation, and its metrics."""

    num_cores: int
    command_seconds: float
    seconds: float
    metrics: dict[str, Any]


def _runs(
    name: str, level: str, num_triples: int, processors: Sequence[int], cores: Sequence[int], repeats: int
) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="proofrank-cores-") as folder:
        path = Path(folder) / "metrics.json"
        for _ in range(repeats):
            for number in cores:
                command = [
                    *("taskset", "--cpu-list", ",".join(map(str, processors[:number]))),
                    *(sys.executable, "-m", "proofrank.service.cli.main", "evaluate"),
                    *("--dataset", str(SHARED / "data" / name)),
                    *("--policy", str(SHARED / "truth" / f"{name}-seed0")),
                    *("--device", "cpu", "--queries", str(num_triples)),
                    *("--corruptions", WORK[name].corruptions, "--pruning", level, "--json", str(path)),
                ]
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds = time.perf_counter() - began
                written = json.loads(path.read_text(encoding="utf-8"))
                metrics: dict[str, Any] = {
                    key: value for key, value in written.items() if isinstance(value, int | float)
                }
                yield Run(number, seconds, metrics.pop("seconds"), metrics)


def _rows(name: str, level: str, runs: Sequence[Run], cores: Sequence[int]) -> Iterator[dict[str, Any]]:
    of_one = median([run.seconds for run in runs if run.num_cores == cores[0]])
    for number in cores:
        own = [run for run in runs if run.num_cores == number]
        seconds = [run.seconds for run in own]
        yield {
            "dataset": name,
            "pruning": level,
            "candidates": own[0].metrics["candidates"],
            "cores": number,
            "seconds": round(median(seconds), 2),
            "least to most": f"{min(seconds):.2f} to {max(seconds):.2f}",
            "seconds of the command": round(median([run.command_seconds for run in own]), 2),
            f"times as fast as with {cores[0]}": round(of_one / median(seconds), 2),
        }


if __name__ == "__main__":
    sys.exit(main())
