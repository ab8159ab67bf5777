"""Records what PyKEEN's metrics are on drawn ranks: ``python -m tests.core.rank_metrics.record_pykeen``.

It writes ``pykeen.json`` beside this file, with which the tests compare. PyKEEN's own evaluator keeps realistic ranks
in single precision; its metrics are called here with the same ranks in double precision.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

RECORDED = Path(__file__).with_name("pykeen.json")
KS = (1, 3, 5, 10)
SHAPES = ((1, 40), (2, 2), (60, 5), (80, 1000))
"""Number of rankings and largest number of candidates of each drawn set."""


def drawn_ranks(num_rankings: int, most_candidates: int, seed: int) -> dict[str, list[float]]:
    """Draws optimistic and pessimistic ranks with many ties, and the candidates of each ranking, at least two."""
    draw = np.random.default_rng(seed)
    candidates = draw.integers(2, most_candidates + 1, num_rankings)
    optimistic = 1 + np.floor((candidates - 1) * draw.random(num_rankings) ** 3).astype(int)
    pessimistic = np.minimum(candidates, optimistic + draw.integers(0, 4, num_rankings))
    return {
        "optimistic": optimistic.tolist(),
        "realistic": ((optimistic + pessimistic) / 2).tolist(),
        "pessimistic": pessimistic.tolist(),
        "num_candidates": candidates.tolist(),
    }


def metrics_of_pykeen(ranks: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """PyKEEN's metrics by type of rank and by the names that its results have, those with a k for each of ``KS``."""
    from pykeen.metrics.ranking import HITS_METRICS, rank_based_metric_resolver

    named = {}
    for kind in rank_based_metric_resolver:
        for k in KS if kind in HITS_METRICS else (None,):
            metric = rank_based_metric_resolver.make(kind.__name__, None if k is None else {"k": k})
            # PyKEEN's keys of adjusted Hits@k have no k.
            named[metric.key if k is None else f"{metric.key.rpartition('_')[0]}_{k}"] = metric
    candidates = np.array(ranks["num_candidates"])
    return {
        rank_type: {
            name: float(metric(np.array(ranks[rank_type], dtype=float), num_candidates=candidates))
            for name, metric in named.items()
        }
        for rank_type in ("optimistic", "realistic", "pessimistic")
    }


def main() -> None:
    """Writes the file."""
    cases = [drawn_ranks(*shape, seed) for seed, shape in enumerate(SHAPES)]
    content = {
        "pykeen": version("pykeen"),
        "cases": [{"ranks": ranks, "metrics": metrics_of_pykeen(ranks)} for ranks in cases],
    }
    RECORDED.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
