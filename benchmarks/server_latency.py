"""Time of a server's answers, alone and beside busy processes.

    python -m benchmarks.server_latency
    python -m benchmarks.server_latency --busy 4 --other ../before

A real server on the loopback interface gets the same requests for ranks one after the other, each of one triple, alone
and beside loops that do nothing but compute at the same priority, in turn. ``--other`` names the folder of another
checkout, whose server takes turns with this one's. The interval is the 95 % one of the median, by the order of the
times, which assumes nothing about how they are spread.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.common import (
    add_graph,
    add_output,
    arguments_of,
    busy_loops,
    machine,
    median,
    print_table,
    write_output,
)
from load.processes import REPOSITORY, ServerProcess
from proofrank.core.graph import load_dataset
from proofrank.core.ranking import sample_triples

_NUM_WARM_UP = 3


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_graph(parser, "family")
    parser.add_argument("--requests", type=int, default=20, help="requests of a round (default: 20)")
    parser.add_argument("--corruptions", type=int, default=50, help="of each side (default: 50)")
    parser.add_argument("--pruning", default="exact", choices=("none", "exact", "ranks"))
    parser.add_argument("--rounds", type=int, default=5, help="alone and beside the loops (default: 5)")
    parser.add_argument("--busy", type=int, default=4, metavar="N", help="busy loops beside (default: 4)")
    parser.add_argument("--other", type=Path, metavar="FOLDER", help="another checkout to compare with")
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    bodies = _bodies(parsed.dataset, parsed.requests, parsed.corruptions, parsed.pruning)
    sources = {"this": REPOSITORY} | ({"other": parsed.other.resolve()} if parsed.other else {})
    times: dict[tuple[str, int], list[float]] = {
        (name, loops): [] for name in sources for loops in dict.fromkeys((0, parsed.busy))
    }
    with ExitStack() as until_done:
        urls = {}
        for name, source in sources.items():
            server = ServerProcess(parsed.dataset, parsed.policy, parsed.threads, source=source)
            until_done.enter_context(server)
            server.wait_until_ready()
            urls[name] = server.url
        http = urllib3.PoolManager(retries=False)
        answers = {name: [_answer(http, url, body) for body in bodies] for name, url in urls.items()}
        for url in urls.values():
            for body in bodies[:_NUM_WARM_UP]:
                _answer(http, url, body)
        for _ in range(parsed.rounds):
            for loops in dict.fromkeys((0, parsed.busy)):
                with busy_loops(loops):
                    for body in bodies:
                        for name, url in urls.items():
                            began = time.perf_counter()
                            _answer(http, url, body)
                            times[name, loops].append(time.perf_counter() - began)
    rows = _rows(times)
    print(machine())
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    if any(ranks != answers["this"] for ranks in answers.values()):
        print("the servers give different ranks")
        return 1
    return 0


def _bodies(dataset: Path, number: int, corruptions: int, pruning: str) -> list[dict[str, Any]]:
    """The bodies of requests: one triple each, of a seeded sample of test."""
    graph = load_dataset(dataset)
    return [
        {
            "queries": [dict(zip(("head", "relation", "tail"), graph.names(triple), strict=True))],
            "corruptions": corruptions,
            "pruning": pruning,
            "seed": 0,
        }
        for triple in sample_triples(graph.splits["test"], number, 0)
    ]


def _answer(http: urllib3.PoolManager, url: str, body: dict[str, Any]) -> list[float]:
    """The ranks that the server gives."""
    answer = http.request("POST", f"{url}/rank", json=body)
    found = answer.json()
    if answer.status != 200:
        raise SystemExit(f"the server answers {answer.status}: {found}")
    return [ranking["rank"] for query in found["queries"] for ranking in query["rankings"]]


def _rows(times: dict[tuple[str, int], list[float]]) -> list[dict[str, Any]]:
    rows = []
    for (name, loops), seconds in times.items():
        low, high = median_interval(seconds)
        rows.append(
            {
                "server": name,
                "busy loops": loops,
                "requests": len(seconds),
                "p50 ms": median(seconds) * 1e3,
                "95 % interval": f"{low * 1e3:.1f} to {high * 1e3:.1f}",
                "p95 ms": sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1] * 1e3,
                "times alone": median(seconds) / median(times[name, 0]),
                "times this": median(seconds) / median(times["this", loops]),
            }
        )
    return rows


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median of what ``values`` are a sample of, by the binomial distribution of how many of
    them are below it; the least and the largest where there are too few."""
    ordered, number = sorted(values), len(values)
    outside, probability = 0, 0.5**number
    while probability <= 0.025 and outside < number // 2:
        outside += 1
        probability += math.comb(number, outside) * 0.5**number
    first = max(outside - 1, 0)
    return ordered[first], ordered[number - 1 - first]


if __name__ == "__main__":
    sys.exit(main())
