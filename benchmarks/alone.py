"""The evaluator alone, without a server, on demand: the reference for a server's throughput.

Reads lines from standard input, each a JSON list of triples [head, relation, tail]; ranks them on their tails like
``POST /rank`` with seed 0; writes a JSON line with seconds, candidates and MRR for each. The seconds do not include the
drawing of corruptions and the computation of ranks.

echo '[["albania", "locatedInCR", "europe"]]' | python -m benchmarks.alone --dataset core/default/countries \
    --policy core/default/policy
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from proofrank.core.evaluator import CompiledEvaluator, create_evaluator, settings_for
from proofrank.core.graph import Triple, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_outcomes, report


def main() -> int:
    """Ranks line by line until the input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--corruptions", type=int, default=50)
    parser.add_argument("--engine", default="auto")
    parser.add_argument(
        "--lanes", type=int, default=256, help="number of lanes, by default that of a server on a CPU"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    dataset = load_dataset(parsed.dataset)
    policy = load_policy(parsed.policy, dataset)
    evaluator = create_evaluator(
        parsed.engine, dataset, policy, settings_for(policy), buckets=(parsed.lanes,)
    )
    if isinstance(evaluator, CompiledEvaluator):
        evaluator.warm_up()
    corruptor = Corruptor(dataset, number=parsed.corruptions, seed=0)
    vocabulary = dataset.vocabulary
    for line in sys.stdin:
        triples = [
            Triple(
                vocabulary.predicate_index(relation),
                vocabulary.constant_index(head),
                vocabulary.constant_index(tail),
            )
            for head, relation, tail in json.loads(line)
        ]
        queries = corrupted_queries(triples, ("tail",), corruptor)
        candidates = [candidate for query in queries for candidate in query.candidates]
        began = time.perf_counter()
        outcomes = evaluator.evaluate(candidates)
        seconds = time.perf_counter() - began
        ranked = rank_outcomes(queries, outcomes, seed=0, seconds=seconds)
        figures = {
            "seconds": seconds,
            "candidates": len(candidates),
            "mrr": report(ranked, dataset).overall.mrr,
        }
        print(json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
