"""Cost by the number of candidates, and by the number of facts at the same fan-out; peak memory of each.

    python -m benchmarks.scaling

It gives elapsed seconds and processor seconds, which other programs on the machine affect less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.common import (
    SHARED,
    add_output,
    load_workload,
    machine,
    print_table,
    random_policy,
    write_output,
)
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.graph import Dataset, Triple, Vocabulary
from proofrank.core.graph.rules import Rule
from proofrank.core.policy import Policy, PolicyConfig, build_network
from proofrank.core.prover import Candidate, ProverSettings

FAN_OUT = 5
NUM_PREDICATES = 10


def main() -> int:
    """Runs both tables, each row in its own process, so that the peak of memory belongs to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--facts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--row", nargs=2, metavar=("KIND", "NUMBER"), help=argparse.SUPPRESS)
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    if parsed.row is not None:
        kind, number = parsed.row[0], int(parsed.row[1])
        row = _candidates_row(number) if kind == "candidates" else _facts_row(number)
        print(json.dumps(row))
        return 0
    figures: dict[str, list[dict[str, Any]]] = {}
    print(machine())
    for kind, numbers in (("candidates", parsed.candidates), ("facts", parsed.facts)):
        rows = []
        for number in numbers:
            command = [sys.executable, "-m", "benchmarks.scaling", "--row", kind, str(number)]
            command += ["--threads", str(parsed.threads)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
        figures[kind] = rows
        if rows:
            print_table(rows)
    write_output(parsed.json, figures)
    return 0


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Timing(NamedTuple):
    """One run: elapsed seconds, processor seconds, and the steps of all lanes."""

    seconds: float
    processor_seconds: float
    steps: int
    states_scored: int


def _timed(evaluator: CompiledEvaluator, candidates: list[Candidate]) -> Timing:
    """Returns the second run of ``candidates``, or the first if that took long."""
    timing = _run(evaluator, candidates)
    return timing if timing.seconds > 20 else _run(evaluator, candidates)


def _run(evaluator: CompiledEvaluator, candidates: list[Candidate]) -> Timing:
    before, began, processor_began = evaluator.work, time.perf_counter(), time.process_time()
    evaluator.evaluate(candidates)
    return Timing(
        time.perf_counter() - began,
        time.process_time() - processor_began,
        evaluator.work.lanes_busy - before.lanes_busy,
        evaluator.work.states_scored - before.states_scored,
    )


def _candidates_row(number: int) -> dict[str, Any]:
    """Measures family with the seed-0 fixture policy."""
    workload = load_workload(
        SHARED / "data" / "family", SHARED / "truth" / "family-seed0", -(-number // 102), 50, "both"
    )
    candidates = workload.candidates[:number]
    evaluator = CompiledEvaluator(workload.dataset, workload.policy, workload.settings)
    evaluator.warm_up()
    timing = _timed(evaluator, candidates)
    return {
        "candidates": len(candidates),
        "seconds": timing.seconds,
        "ms per candidate": timing.seconds / len(candidates) * 1e3,
        "processor ms per candidate": timing.processor_seconds / len(candidates) * 1e3,
        "peak GiB": _peak_gib(),
    }


def _facts_row(number: int) -> dict[str, Any]:
    """Measures a random graph in which every constant has ``FAN_OUT`` facts of each predicate, whatever its size."""
    num_constants = number // (FAN_OUT * NUM_PREDICATES)
    dataset = synthetic_dataset(num_constants)
    policy = _policy(dataset)
    began = time.perf_counter()
    evaluator = CompiledEvaluator(dataset, policy, ProverSettings(max_depth=8))
    evaluator.warm_up()
    build = time.perf_counter() - began
    generator = np.random.default_rng(1)
    candidates = [
        Candidate(Triple(1 + int(p), 1 + int(h), 1 + int(t)), is_positive=False)
        for p, h, t in zip(
            generator.integers(NUM_PREDICATES, size=2000),
            generator.integers(num_constants, size=2000),
            generator.integers(num_constants, size=2000),
            strict=True,
        )
    ]
    timing = _timed(evaluator, candidates)
    return {
        "facts": len(dataset.splits["train"]),
        "ms per candidate": timing.seconds / len(candidates) * 1e3,
        "us per step": timing.seconds / timing.steps * 1e6,
        "processor us per step": timing.processor_seconds / timing.steps * 1e6,
        "states scored per step": timing.states_scored / timing.steps,
        "build s": build,
        "peak GiB": _peak_gib(),
    }


def synthetic_dataset(num_constants: int) -> Dataset:
    """Makes a graph of ``NUM_PREDICATES`` predicates, ``FAN_OUT`` facts of each for every constant, and chain rules of
    two atoms.
    """
    generator = np.random.default_rng(0)
    heads = np.repeat(np.arange(1, num_constants + 1), FAN_OUT)
    triples = []
    for predicate in range(1, NUM_PREDICATES + 1):
        tails = generator.integers(1, num_constants + 1, size=heads.size)
        triples.extend(
            map(Triple._make, zip([predicate] * heads.size, heads.tolist(), tails.tolist(), strict=True))
        )
    vocabulary = Vocabulary(
        tuple(f"p{index:02}" for index in range(NUM_PREDICATES)),
        tuple(f"c{index:09}" for index in range(num_constants)),
    )
    rules = tuple(
        Rule(
            f"r{index}",
            1.0,
            (1 + index % NUM_PREDICATES, -1, -2),
            ((1 + first, -1, -3), (1 + second, -3, -2)),
            1,
        )
        for index, (first, second) in enumerate(
            generator.integers(NUM_PREDICATES, size=(3 * NUM_PREDICATES, 2)).tolist()
        )
    )
    return Dataset(
        "synthetic",
        vocabulary,
        {"train": tuple(triples), "valid": (), "test": ()},
        rules,
        {},
        content_hash="",
    )


def _policy(dataset: Dataset) -> Policy:
    """Makes an untrained policy of the fixtures' shape."""
    config = PolicyConfig(max_variables=100)
    like = Policy("", build_network(config, dataset.vocabulary), dataset.vocabulary, None, "")
    return random_policy(dataset, like, seed=0)


if __name__ == "__main__":
    raise SystemExit(main())
