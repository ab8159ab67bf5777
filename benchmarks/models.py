"""Time and memory of least models: of every dataset of a folder, and of synthetic graphs.

    python -m benchmarks.models --data ../shared/data --facts 100000 1000000 10000000

Each model is computed in a process of its own, whose largest memory is given, with that before the model (the graph
itself) apart. A synthetic graph has five facts for each constant, over 20 predicates, and 20 rules: chains of two
atoms, inverses and a transitive relation. Its facts lead from lower to higher constants within a distance, as in a
hierarchy, so that rules have much to derive; what would take more than the limits gets the superset.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import SHARED, arguments_of, machine, print_table, write_output
from proofrank.core.choices import SIDES
from proofrank.core.graph import Dataset, Rule, Triple, load_dataset
from proofrank.core.graph.vocabulary import Vocabulary
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.ranking import sample_triples

NUM_PREDICATES = 20
FACTS_PER_CONSTANT = 5
DISTANCE = 50
"""Maximum distance of the two constants of a fact of a synthetic graph."""

SAMPLE = 20
"""Number of triples against whose corruptions the share of candidates that are left is measured."""


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder of dataset folders")
    parser.add_argument("--facts", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one is not None:
        print(json.dumps(measured(parsed.one)))
        return 0
    names = [str(path) for path in sorted(parsed.data.iterdir()) if path.is_dir()]
    rows = []
    for name in [*names, *map(str, parsed.facts)]:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.models", "--one", name],
            capture_output=True,
            check=True,
            text=True,
        )
        rows.append(json.loads(done.stdout))
        print_table(rows[-1:])
    print(machine())
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    return 0


def measured(name: str) -> dict[str, Any]:
    """The figures of a dataset's folder, or of a synthetic graph of as many facts."""
    dataset = synthetic(int(name)) if name.isdecimal() else load_dataset(name)
    before = _largest_memory()
    began, processor = time.monotonic(), time.process_time()
    model = compute_least_model(dataset)
    seconds, processor = time.monotonic() - began, time.process_time() - processor
    heads = {rule.head[0] for rule in dataset.rules}
    return {
        "graph": dataset.name,
        "constants": dataset.vocabulary.num_constants,
        "facts": len(dataset.fact_triples),
        "s": seconds,
        "processor s": processor,
        "MiB of the graph": before,
        "MiB at most": _largest_memory(),
        "atoms": model.num_atoms,
        "supersets": f"{sum(not model.is_exact_for(head) for head in heads)} of {len(heads)}"
        if not model.is_exact
        else "none",
        "left": _share_left(dataset, model),
    }


def _largest_memory() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _share_left(dataset: Dataset, model: LeastModel) -> float:
    """Share of all corruptions of some triples, on both sides, that the model does not rule out."""
    triples = sample_triples(dataset.splits["test"] or dataset.splits["train"], SAMPLE, seed=0)
    num_left = sum(
        len(model.completions(triple.predicate, side, triple.tail if side == "head" else triple.head))
        for triple in triples
        for side in SIDES
    )
    return num_left / (2 * len(triples) * dataset.vocabulary.num_constants)


def synthetic(num_facts: int, seed: int = 0) -> Dataset:
    """A graph of about ``num_facts`` facts; see the module."""
    random = np.random.default_rng(seed)
    num_constants = num_facts // FACTS_PER_CONSTANT
    heads = random.integers(1, num_constants + 1, num_facts)
    tails = np.minimum(heads + random.integers(1, DISTANCE + 1, num_facts), num_constants)
    predicates = random.integers(1, NUM_PREDICATES // 2 + 1, num_facts)
    facts = np.unique(np.stack([predicates, heads, tails], axis=1), axis=0)
    half = NUM_PREDICATES // 2
    rules = []
    for index in range(half):
        one, other, derived = index + 1, (index + 1) % half + 1, half + index + 1
        rules.append(Rule(f"chain{index}", 1.0, (derived, -1, -2), ((one, -1, -3), (other, -3, -2)), 1))
        if index < half - 1:
            rules.append(Rule(f"inverse{index}", 1.0, (derived + 1, -1, -2), ((derived, -2, -1),), 0))
    rules.append(
        Rule("transitive", 1.0, (NUM_PREDICATES, -1, -2), ((NUM_PREDICATES, -1, -3), (1, -3, -2)), 1)
    )
    width = len(str(num_constants))
    vocabulary = Vocabulary(
        tuple(f"p{number:02}" for number in range(1, NUM_PREDICATES + 1)),
        tuple(f"c{number:0{width}}" for number in range(1, num_constants + 1)),
    )
    triples = tuple(map(Triple._make, facts.tolist()))
    return Dataset(
        f"synthetic, {num_facts:,} facts",
        vocabulary,
        {"train": triples, "valid": (), "test": ()},
        tuple(rules),
        {},
    )


if __name__ == "__main__":
    raise SystemExit(main())
