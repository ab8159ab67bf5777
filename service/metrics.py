"""The metrics of the service, for Prometheus.

Quality is exported as sums and counts of reciprocal ranks, so that an MRR over any window is a ratio of rates.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core import __version__
from core.ranking import RankedQuery

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ServiceMetrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "proofrank_request_duration_seconds",
            "Time from a request's arrival to its answer.",
            ["endpoint", "status"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "proofrank_queue_duration_seconds",
            "Time that a request for ranks waited for the evaluator.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.execution_seconds = Histogram(
            "proofrank_execution_duration_seconds",
            "Time that a request for ranks spent in the evaluator.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.candidates = Counter(
            "proofrank_candidates", "Candidates evaluated.", ["kind", "proved"], registry=self.registry
        )
        self.steps = Counter("proofrank_proof_steps", "Steps of all trajectories.", registry=self.registry)
        self.rankings = Counter(
            "proofrank_rankings", "Positives ranked.", ["dataset", "side", "policy"], registry=self.registry
        )
        self.reciprocal_ranks = Counter(
            "proofrank_reciprocal_rank",
            "Sum of the reciprocal realistic ranks; over proofrank_rankings_total it is the MRR.",
            ["dataset", "side", "policy"],
            registry=self.registry,
        )
        self.last_mrr = Gauge(
            "proofrank_last_request_mrr", "MRR of the last request for ranks.", registry=self.registry
        )
        self.queued_candidates = Gauge(
            "proofrank_queued_candidates", "Candidates waiting or running.", registry=self.registry
        )
        self.evaluator_rebuilds = Counter(
            "proofrank_evaluator_rebuilds",
            "Times that the evaluator was made anew after it had failed.",
            registry=self.registry,
        )
        self.ready = Gauge("proofrank_ready", "1 when requests are taken, else 0.", registry=self.registry)
        self.startup_seconds = Gauge(
            "proofrank_startup_stage_seconds",
            "Time of each stage of the start.",
            ["stage"],
            registry=self.registry,
        )
        Gauge(
            "proofrank_build_info", "1, labelled with the version.", ["version"], registry=self.registry
        ).labels(__version__).set(1)

    def record_ranked(self, ranked: Sequence[RankedQuery], dataset: str, policy: str) -> None:
        """Counts the ranked queries of one request."""
        reciprocal = 0.0
        for query in ranked:
            for index, outcome in enumerate(query.outcomes):
                kind = "corruption" if index else "positive"
                self.candidates.labels(kind, str(outcome.success).lower()).inc()
                self.steps.inc(outcome.steps)
            self.rankings.labels(dataset, query.side, policy).inc()
            self.reciprocal_ranks.labels(dataset, query.side, policy).inc(1 / query.ranks.realistic)
            reciprocal += 1 / query.ranks.realistic
        self.last_mrr.set(reciprocal / len(ranked))
