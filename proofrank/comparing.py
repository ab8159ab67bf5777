"""Comparison of two evaluations: in this process, of files of results, or of a server's jobs; needs no torch.

before = proofrank.evaluate(dataset, proofrank.load_policy("epoch-1", dataset), corruptions="all")
after = proofrank.evaluate(dataset, proofrank.load_policy("epoch-2", dataset), corruptions="all")
comparison = proofrank.compare(before, after)
print(comparison.overall.metrics["mrr"].difference, comparison.is_worse)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proofrank.core.comparison import Comparison, Rankings, compare_rankings
from proofrank.service.ranking.to_rankings import job_rankings, read_rankings
from proofrank.service.wire import JobResults

if TYPE_CHECKING:
    from proofrank.in_process import EvaluationReport

NamedTriple = tuple[str, str, str]
"""The names of a triple: (head, relation, tail)."""


def compare(
    a: EvaluationReport | JobResults | Path | str,
    b: EvaluationReport | JobResults | Path | str,
    *,
    depths: Mapping[NamedTriple, int | str] | None = None,
    confidence: float = 0.95,
    resamples: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares two evaluations of the same queries: how much the metrics of B differ, and which rankings changed.

    Args:
        a: the evaluation to compare with: what ``evaluate`` returned, here or from a server, or the path of a file of
            results.
        b: the evaluation that is judged.
        depths: depth of each triple, by its names, for metrics by depth.
        confidence: share of the intervals that should hold the true difference, from 0.5 to 0.999.
        resamples: number of resamples of the bootstrap, from 100 to 100,000; by default 2,000 to 20,000, the more the
            fewer triples there are.
        seed: seed of the bootstrap; the same one gives the same intervals.

    Raises:
        ComparisonError: the two rank different queries, on different datasets, or otherwise; or a file cannot be read.
    """
    return compare_rankings(
        _rankings(a),
        _rankings(b),
        depths=None if depths is None else {triple: str(depth) for triple, depth in depths.items()},
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def _rankings(evaluation: EvaluationReport | JobResults | Path | str) -> Rankings:
    if isinstance(evaluation, JobResults):
        return job_rankings(evaluation)
    if isinstance(evaluation, (Path, str)):
        return read_rankings(Path(evaluation))
    return evaluation.to_rankings()
