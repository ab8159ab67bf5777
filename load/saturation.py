"""The cost of a server and its behaviour under load, measured against the evaluator alone in one command.

python -m load.saturation --json docs/benchmarks/load.json

Starts ``proofrank serve`` and the evaluator alone, each in its own process, and measures on the same candidates:
throughput in turn (alone; shared by many clients; one request at a time), times at 50 %, 90 % and 200 % of saturation,
small requests beside a large one, and with ``--minutes`` a soak. Clients and server share the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from load.checkpoint import Checkpoint
from load.fairness import Fairness, fairness
from load.objectives import Objectives
from load.processes import AloneProcess, ServerProcess
from load.stages import Level, Soak, Throughput, level, soak, throughput
from load.summary import milliseconds, table
from load.triples import read_split

SHARED = Path(__file__).resolve().parents[2] / "shared"

_QUEUED_REQUESTS = 64
"""Number of single queries that the overloaded server queues: some seconds of work."""

_SOAK_SHARE = 0.7
_OVERLOAD = 2.0


@dataclass(frozen=True)
class Figures:
    """All figures, and the conditions of the measurement."""

    machine: dict[str, str | int]
    arguments: dict[str, str]
    throughput: Throughput
    levels: list[Level]
    fairness: Fairness
    soak: Soak | None


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / "family")
    parser.add_argument("--policy", type=Path, default=SHARED / "truth" / "family-seed0")
    parser.add_argument("--corruptions", type=int, default=50, help="corruptions of each query, on its tail")
    parser.add_argument("--queries", type=int, default=200, help="number of triples of the test split")
    parser.add_argument("--clients", type=int, default=32, help="number of clients that saturate the server")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each setup")
    parser.add_argument("--seconds", type=float, default=60, help="duration of each level of load")
    parser.add_argument("--small", type=int, default=40, help="single queries beside the large request")
    parser.add_argument("--large", type=int, default=200_000, help="candidates of the large request")
    parser.add_argument("--minutes", type=float, default=0, help="duration of the soak; none if 0")
    parser.add_argument("--lanes", type=int, default=512, help="lanes of the evaluator alone")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="threads of torch, in server and alone"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    wanted = Objectives()
    for name, default, meaning in (
        (
            "--most-ratio",
            wanted.ratio,
            "p50 of single queries beside the large request over p50 on the idle server",
        ),
        ("--most-cost", wanted.cost, "share of the evaluator's throughput that the server costs"),
        ("--most-errors", wanted.error_share, "share of requests neither answered nor refused"),
        ("--most-growth-mib", wanted.growth_mib, "growth of memory over a level or the soak, MiB"),
    ):
        parser.add_argument(
            name, type=float, default=default, help=f"objective: {meaning} (default: {default:g})"
        )
    return parser


def objectives_of(parsed: argparse.Namespace) -> Objectives:
    """Returns the objectives of a run with these options."""
    return Objectives(parsed.most_ratio, parsed.most_cost, parsed.most_errors, parsed.most_growth_mib)


def main() -> int:
    """Measures everything; returns the exit status."""
    parsed = make_parser().parse_args()
    return conclude(measure(parsed), parsed)


def conclude(figures: Figures, parsed: argparse.Namespace) -> int:
    """Prints tables and missed objectives, and perhaps writes the raw figures; returns 1 if an objective was missed."""
    print("\n".join(report(figures)))
    if parsed.json is not None:
        parsed.json.parent.mkdir(parents=True, exist_ok=True)
        parsed.json.write_text(json.dumps(dataclasses.asdict(figures), indent=1) + "\n")
    misses = objectives_of(parsed).misses(figures)
    for miss in misses:
        print(f"objective missed: {miss}")
    return 1 if misses else 0


def measure(parsed: argparse.Namespace) -> Figures:
    """Runs all stages."""
    triples = read_split(parsed.dataset, "test")[: parsed.queries]
    most = str(_QUEUED_REQUESTS * (1 + parsed.corruptions))
    limits = ("--max-candidates", most, "--max-queued-candidates", most)
    with ServerProcess(parsed.dataset, parsed.policy, parsed.threads, *limits) as server:
        server.wait_until_ready()
        with AloneProcess(
            parsed.dataset, parsed.policy, parsed.threads, parsed.corruptions, parsed.lanes
        ) as alone:
            alone.rank(triples[:1])  # returns when it is warm
            _say("throughput: alone, shared, one at a time")
            measured = throughput(
                alone,
                server,
                triples,
                corruptions=parsed.corruptions,
                num_clients=parsed.clients,
                repeats=parsed.repeats,
            )
        saturated = measured.queries_per_second
        levels = []
        for share in (0.5, 0.9, _OVERLOAD):
            _say(f"{share:.0%} of saturation, {share * saturated:.1f} requests a second")
            levels.append(
                level(
                    server,
                    triples,
                    corruptions=parsed.corruptions,
                    saturated=saturated,
                    share=share,
                    seconds=parsed.seconds,
                )
            )
        soaked = None
        if parsed.minutes:
            _say(f"soak of {parsed.minutes:g} minutes at {_SOAK_SHARE:.0%}")
            soaked = soak(
                server,
                triples,
                Checkpoint.read(parsed.policy),
                corruptions=parsed.corruptions,
                saturated=saturated,
                share=_SOAK_SHARE,
                minutes=parsed.minutes,
            )
    _say("small requests beside a large one")
    with ServerProcess(parsed.dataset, parsed.policy, parsed.threads) as server:
        server.wait_until_ready()
        fair = fairness(
            server,
            read_split(parsed.dataset, "test"),
            corruptions=parsed.corruptions,
            num_small=parsed.small,
            large_candidates=parsed.large,
        )
    arguments = {
        name: os.path.relpath(value) if isinstance(value, Path) else str(value)
        for name, value in vars(parsed).items()
        if name != "json"
    }
    machine: dict[str, str | int] = {"processor": _processor(), "cores": os.cpu_count() or 1}
    return Figures(machine, arguments, measured, levels, fair, soaked)


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(figures: Figures) -> list[str]:
    """Returns the figures as Markdown."""
    lines = [
        str(figures.machine),
        "",
        *_throughput_lines(figures.throughput),
        "",
        *_level_lines(figures.levels),
        "",
    ]
    fair = figures.fairness
    lines += table(
        ("single query", "p50 ms", "p95 ms", "p99 ms"),
        [
            ["nothing else runs", *_cells(fair.idle.p50, fair.idle.p95, fair.idle.p99)],
            [
                f"beside a request of {fair.large_candidates} candidates",
                *_cells(fair.beside.p50, fair.beside.p95, fair.beside.p99),
            ],
            ["ratio", f"{fair.ratio:.2f}", "", ""],
        ],
    )
    if figures.soak is not None:
        lines += ["", *_soak_lines(figures.soak)]
    return lines


def _throughput_lines(measured: Throughput) -> list[str]:
    lines = table(
        ("way", "candidates a second", "of all turns"),
        [
            [name, f"{statistics.median(rates):.1f}", ", ".join(f"{rate:.0f}" for rate in rates)]
            for name, rates in (
                ("evaluator alone, in its process", measured.alone),
                (f"server, {measured.num_clients} clients", measured.shared),
                ("server, one request at a time", measured.serial),
            )
        ],
    )
    return [
        *lines,
        "",
        f"{measured.candidates} candidates a turn; {measured.queries_per_second:.2f} queries a second at saturation; "
        f"the server costs {measured.cost:.1%} of the evaluator (computing time of a candidate, all threads: "
        f"{measured.alone_cpu_ms:.2f} and {measured.shared_cpu_ms:.2f} ms); {measured.gain:.2f} times one at a time, "
        f"whose p50 is {milliseconds(measured.serial_seconds.p50)} ms",
    ]


def _level_lines(levels: Sequence[Level]) -> list[str]:
    return table(
        (
            *("load", "requests a second", "p50 ms", "p95 ms", "p99 ms", "candidates a second"),
            *("by status", "p99 of refusals ms", "memory before, after MiB"),
        ),
        [
            [
                f"{level.share:.0%}",
                f"{level.rate:.2f}",
                *_cells(level.seconds.p50, level.seconds.p95, level.seconds.p99),
                f"{level.candidates_per_second:.1f}",
                ", ".join(f"{status}: {number}" for status, number in level.statuses.items()),
                milliseconds(level.refusal_seconds.p99),
                ", ".join(f"{mib:.0f}" for mib in level.resident_mib),
            ]
            for level in levels
        ],
    )


def _soak_lines(soaked: Soak) -> list[str]:
    lines = [f"Soak of {soaked.minutes:g} minutes; {soaked.policies} policies went live meanwhile", ""]
    lines += _level_lines([soaked.load])
    first, last = soaked.first_and_last_mib
    lines += ["", f"memory, median of the first and the last tenth: {first:.0f} and {last:.0f} MiB"]
    return lines


def _cells(*seconds: float) -> list[str]:
    return [milliseconds(value) for value in seconds]


if __name__ == "__main__":
    raise SystemExit(main())
