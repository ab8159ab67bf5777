"""Evaluation of neural-guided provers on knowledge graphs: exact ranks, MRR and proofs.

In this process::

    import proofrank

    dataset = proofrank.load_dataset("data/family")
    policy = proofrank.load_policy("policies/family", dataset)
    report = proofrank.evaluate(dataset, policy, split="valid", corruptions=100, progress=True)
    print(report.metrics.mrr)

By a server, from a machine that needs no torch::

    with proofrank.Client("http://127.0.0.1:8000") as client:
        print(client.evaluate("valid", corruptions="all").metrics.mrr)

A name is loaded when it is first used, so that the client does not load torch. ``docs/python.md`` describes each.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from proofrank._version import __version__

if TYPE_CHECKING:
    from proofrank.comparing import compare
    from proofrank.core.comparison import Comparison, ComparisonError
    from proofrank.core.embedding import Embedding, load_embedding, save_embedding
    from proofrank.core.errors import (
        DatasetError,
        EmbeddingError,
        EvaluationError,
        PolicyError,
        ProofrankError,
        RankingError,
        UnknownNameError,
    )
    from proofrank.core.formats.warnings import DatasetWarning
    from proofrank.core.graph import Dataset, load_dataset
    from proofrank.core.policy import Policy, load_policy
    from proofrank.core.policy.exporting import NetworkSizes, export_policy, network_sizes
    from proofrank.core.ranking import Hybrid, HybridWeights, Interval, MetricIntervals, Metrics
    from proofrank.core.ranking.hybrid_fit import HybridFit
    from proofrank.hybrid_fitting import fit_hybrid
    from proofrank.in_process import EvaluationReport, ProofReport, TripleRanking, evaluate, explain
    from proofrank.interval_evaluation import IntervalEvaluation, TripleRankInterval
    from proofrank.rank_reasons import (
        ExplainedCandidate,
        ExplainedStep,
        RankExplanation,
        StepAlternative,
        why,
    )
    from proofrank.sampling import SampledTriple, sample
    from proofrank.service.client import AsyncClient, Client, ClientError

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Comparison",
    "ComparisonError",
    "Dataset",
    "DatasetError",
    "DatasetWarning",
    "Embedding",
    "EmbeddingError",
    "EvaluationError",
    "EvaluationReport",
    "ExplainedCandidate",
    "ExplainedStep",
    "Hybrid",
    "HybridFit",
    "HybridWeights",
    "Interval",
    "IntervalEvaluation",
    "MetricIntervals",
    "Metrics",
    "NetworkSizes",
    "Policy",
    "PolicyError",
    "ProofReport",
    "ProofrankError",
    "RankExplanation",
    "RankingError",
    "SampledTriple",
    "StepAlternative",
    "TripleRankInterval",
    "TripleRanking",
    "UnknownNameError",
    "__version__",
    "compare",
    "evaluate",
    "explain",
    "export_policy",
    "fit_hybrid",
    "load_dataset",
    "load_embedding",
    "load_policy",
    "network_sizes",
    "sample",
    "save_embedding",
    "why",
]

_MODULES = {
    "proofrank.comparing": ("compare",),
    "proofrank.core.comparison": ("Comparison", "ComparisonError"),
    "proofrank.core.embedding": ("Embedding", "load_embedding", "save_embedding"),
    "proofrank.core.errors": (
        "DatasetError",
        "EmbeddingError",
        "EvaluationError",
        "PolicyError",
        "ProofrankError",
        "RankingError",
        "UnknownNameError",
    ),
    "proofrank.core.formats.warnings": ("DatasetWarning",),
    "proofrank.core.graph": ("Dataset", "load_dataset"),
    "proofrank.core.policy": ("Policy", "load_policy"),
    "proofrank.core.policy.exporting": ("NetworkSizes", "export_policy", "network_sizes"),
    "proofrank.core.ranking": ("Hybrid", "HybridWeights", "Interval", "MetricIntervals", "Metrics"),
    "proofrank.core.ranking.hybrid_fit": ("HybridFit",),
    "proofrank.hybrid_fitting": ("fit_hybrid",),
    "proofrank.in_process": ("EvaluationReport", "ProofReport", "TripleRanking", "evaluate", "explain"),
    "proofrank.interval_evaluation": ("IntervalEvaluation", "TripleRankInterval"),
    "proofrank.rank_reasons": (
        "ExplainedCandidate",
        "ExplainedStep",
        "RankExplanation",
        "StepAlternative",
        "why",
    ),
    "proofrank.sampling": ("SampledTriple", "sample"),
    "proofrank.service.client": ("AsyncClient", "Client", "ClientError"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'proofrank' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
