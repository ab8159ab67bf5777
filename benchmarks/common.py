"""Shared parts of the benchmark programs: workloads, interleaved timing, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from proofrank.core.evaluator import settings_for
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, build_network, load_policy
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.ranking import Corruptor, Query, corrupted_queries, sample_triples, sides_of

Name = TypeVar("Name")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True)
class Workload:
    """Queries on one dataset with one policy."""

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    queries: list[Query]

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, query after query."""
        return [candidate for query in self.queries for candidate in query.candidates]


def load_workload(
    dataset: Path, policy: Path, num_queries: int, num_corruptions: int | None, side: str, seed: int = 0
) -> Workload:
    """Makes a seeded sample of test triples with their corruptions."""
    graph = load_dataset(dataset)
    checkpoint = load_policy(policy, graph)
    triples = sample_triples(graph.splits["test"], num_queries, seed)
    corruptor = Corruptor(graph, number=num_corruptions, seed=seed)
    queries = corrupted_queries(triples, sides_of(side), corruptor)
    return Workload(graph, checkpoint, settings_for(checkpoint), queries)


def random_policy(dataset: Dataset, like: Policy, seed: int) -> Policy:
    """Makes an untrained policy of the same shape as ``like``."""
    torch.manual_seed(seed)
    network = build_network(like.network.config, dataset.vocabulary)
    for table in (network.embedding.predicates, network.embedding.arguments):
        table.data.normal_()
        table.data[0] = 0
    return Policy(f"random-{seed}", network, dataset.vocabulary, like.settings, "")


def interleaved(
    contestants: dict[Name, Callable[[], Any]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, list[float]]:
    """Returns the seconds of each contestant, run in turn ``repeats`` times so that changes of the machine
    affect all.

    ``clock`` is ``time.process_time`` where the seconds of this process on a processor are meant.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    return seconds


_BUSY_LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""Program that computes until the one that has started it ends, however that ends."""


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """Keeps ``number`` processes busy meanwhile, at this one's priority."""
    loops = [subprocess.Popen([sys.executable, "-c", _BUSY_LOOP]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def median(values: Sequence[float]) -> float:
    """Returns the median."""
    return statistics.median(values)


def machine() -> dict[str, str | int]:
    """Describes the machine of the figures."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": processor,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows with the same keys as a Markdown table."""
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_cell(row[column]) for column in columns) + " |")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def add_workload(parser: argparse.ArgumentParser, num_queries: int, num_repeats: int) -> None:
    """Adds the options of a workload, by default family with the policy of its recording."""
    add_graph(parser, "family")
    parser.add_argument("--queries", type=int, default=num_queries)
    parser.add_argument("--corruptions", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=num_repeats)


def add_graph(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds ``--dataset`` and ``--policy``, by default the dataset ``name`` with the policy of its recording."""
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / name)
    parser.add_argument("--policy", type=Path, default=SHARED / "truth" / f"{name}-seed0")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json`` and ``--threads``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads of torch (default: all cores)"
    )


def arguments_of(parsed: argparse.Namespace) -> dict[str, str]:
    """Returns the arguments of a run, for its record; paths are relative to the current folder."""
    return {
        name: os.path.relpath(value) if isinstance(value, Path) else str(value)
        for name, value in vars(parsed).items()
    }


def write_output(path: Path | None, figures: dict[str, Any]) -> None:
    """Writes the raw figures, with the machine, if ``path`` is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")
