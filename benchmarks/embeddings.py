"""MRR of proofs, of an embedding and of both: weights fitted to valid, figures of test, with intervals over triples.

    python -m examples.train_embedding --dataset ../shared/data/family --out family-rotate --epochs 40
    python -m benchmarks.embeddings --dataset ../shared/data/family --policy ../shared/policies/family-trained \
        --embedding family-rotate --corruptions 100

Everything is proved once, with the level ``exact`` of pruning: hybrid scores need nothing else.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import SHARED, add_output, arguments_of, machine, print_table, write_output
from proofrank.core.embedding import load_embedding
from proofrank.core.evaluator import Evaluator, create_evaluator, settings_for
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.provability import compute_least_model
from proofrank.core.ranking import (
    SIDES,
    Corruptor,
    Hybrid,
    HybridWeights,
    Pruning,
    RankedQuery,
    candidates_of,
    corrupted_queries,
    rank_queries,
    sample_triples,
)
from proofrank.core.ranking.hybrid_fit import FitTable, estimates, fit_weights


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / "family")
    parser.add_argument("--policy", default=SHARED / "policies" / "family-trained")
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument(
        "--queries", type=int, default=200, help="triples of test and of valid (default: 200)"
    )
    parser.add_argument("--corruptions", type=int, default=None, help="for each side (default: all)")
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    evaluator = create_evaluator(parsed.engine, dataset, policy, settings_for(policy))
    pruning = Pruning("exact", compute_least_model(dataset))
    scorer = load_embedding(parsed.embedding).scorer(dataset, "cpu")
    seconds: dict[str, float] = {}
    tables: dict[str, tuple[list[RankedQuery], Any]] = {}
    for split in ("valid", "test"):
        ranked = _ranked(evaluator, dataset, pruning, split, parsed)
        began = time.process_time()
        scores = scorer.scores(candidates_of(_queries(dataset, split, parsed)).triples)
        seconds[split] = time.process_time() - began
        tables[split] = (ranked, scores)
    weights = {
        "hybrid, default weights": Hybrid(),
        "hybrid, fitted": fit_weights(*tables["valid"], dataset).hybrid,
        "hybrid, fitted per relation": fit_weights(*tables["valid"], dataset, by_relation=True).hybrid,
    }
    table = FitTable(*tables["test"], dataset)
    columns = {name: table.reciprocal_ranks(name, "realistic") for name in ("proof", "embedding")}
    for name, hybrid in weights.items():
        columns[name] = table.hybrid_reciprocal_ranks(hybrid, "realistic")
    of = dict(zip(columns, estimates(list(columns.values()), table.triples, 0), strict=True))
    over = {
        part: dict(
            zip(
                columns,
                estimates([column - columns[part] for column in columns.values()], table.triples, 0),
                strict=True,
            )
        )
        for part in ("proof", "embedding")
    }
    rows = [
        {
            "score": name,
            "MRR": f"{of[name].mean:.4f}",
            "interval": f"{of[name].low:.4f} to {of[name].high:.4f}",
            **{
                f"less that of {part}": f"{own[name].mean:+.4f} ({own[name].low:+.4f} to {own[name].high:+.4f})"
                for part, own in over.items()
            },
        }
        for name in columns
    ]
    print(machine())
    print_table(rows)
    for name, hybrid in weights.items():
        print(
            f"{name}: {_shown(hybrid.overall)}; "
            + "; ".join(f"{relation} {_shown(own)}" for relation, own in hybrid.by_relation.items())
        )
    proved = sum(bool(query.outcomes.success[0]) for query in tables["test"][0])
    print(f"{proved} of {len(tables['test'][0])} positives proved; seconds of the embedding: {seconds}")
    figures = {name: hybrid.to_dict() for name, hybrid in weights.items()}
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows, "weights": figures})


def _queries(dataset: Dataset, split: str, parsed: argparse.Namespace) -> list[Any]:
    triples = sample_triples(dataset.splits[split], parsed.queries, parsed.seed)
    corruptor = Corruptor(dataset, number=parsed.corruptions, seed=parsed.seed)
    return corrupted_queries(triples, SIDES, corruptor)


def _ranked(
    evaluator: Evaluator, dataset: Dataset, pruning: Pruning, split: str, parsed: argparse.Namespace
) -> list[RankedQuery]:
    began = time.process_time()
    queries = _queries(dataset, split, parsed)
    ranked = rank_queries(evaluator, queries, seed=parsed.seed, pruning=pruning)
    print(
        f"{split}: {len(queries)} rankings, {sum(query.num_candidates for query in queries)} candidates, "
        f"{time.process_time() - began:.0f} processor seconds",
        flush=True,
    )
    return ranked


def _shown(weights: HybridWeights) -> str:
    proof = "log-probability" if weights.bonus is None else f"{weights.bonus:g}"
    return f"{weights.weight:g} k + {proof} or - {weights.penalty:g}"


if __name__ == "__main__":
    main()
