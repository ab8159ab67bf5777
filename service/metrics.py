"""The metrics of the service, for Prometheus.

Quality is exported as sums and counts of reciprocal ranks, so that an MRR over any window is a ratio of rates.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core import __version__
from core.ranking import RankedQuery

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


DELETED = "(deleted)"
"""In place of the name of a policy that is not stored any more; no policy can be called so."""

_JOB_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)


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
        self.policy_info = Gauge(
            "proofrank_policy_info",
            "1, labelled with the policy that ranks what comes in.",
            ["policy", "sha256"],
            registry=self.registry,
        )
        self.policy_changes = Counter(
            "proofrank_policy_changes",
            "Uploads, activations and deletions of policies by clients.",
            ["action"],
            registry=self.registry,
        )
        self.jobs = Gauge("proofrank_jobs", "Jobs that are stored.", ["state"], registry=self.registry)
        self.job_chunks = Counter(
            "proofrank_job_chunks", "Chunks of jobs ranked and stored.", registry=self.registry
        )
        self.job_mrr = Gauge(
            "proofrank_job_mrr", "MRR of the last job that was done, under its ties.", registry=self.registry
        )
        self.job_seconds = Histogram(
            "proofrank_job_duration_seconds",
            "Time from the beginning of a job to its end, restarts included, of jobs that were done.",
            buckets=_JOB_BUCKETS,
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
        self._by_policy = (self.rankings, self.reciprocal_ranks)
        self._policies: frozenset[str] | None = None

    def show_live_policy(self, name: str, content_hash: str) -> None:
        """Shows which policy ranks what comes in, instead of the one before."""
        self.policy_info.clear()
        self.policy_info.labels(name, content_hash).set(1)

    def keep_policies(self, names: Collection[str]) -> None:
        """Removes the series of policies whose names are gone, so that clients cannot make ever more of them.

        A request that began before its policy was deleted counts under ``DELETED``.
        """
        before = self._policies or frozenset()
        self._policies = frozenset(names)
        for metric in self._by_policy:
            for name in before - self._policies:
                metric.remove_by_labels({"policy": name})

    def policy_label(self, name: str) -> str:
        """The label of a policy: its name while that is stored."""
        return name if self._policies is None or name in self._policies else DELETED

    def record_ranked(self, ranked: Sequence[RankedQuery], dataset: str, policy: str) -> None:
        """Counts the ranked queries of one request."""
        policy = self.policy_label(policy)
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
