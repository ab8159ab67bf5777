"""The metrics of the service for Prometheus; ``docs/metrics.md`` explains each.

Labels take few values, whatever clients send. Values known in advance are exported as zeros from the start, so that a
rate also sees the first event.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client import Counter as CounterMetric

from proofrank._version import __version__
from proofrank.core.choices import ScoringKind
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidates, Outcomes
from proofrank.core.ranking import HITS_AT, MetricIntervals, RankedQuery
from proofrank.service.scheduler import Snapshot
from proofrank.service.telemetry.evaluator_metrics import (
    CompilerCollector,
    MemoryCollector,
    StepsCollector,
    WorkCollector,
)
from proofrank.service.telemetry.job_metrics import JobMrrCollector
from proofrank.service.telemetry.quality_metrics import QualityCollector
from proofrank.service.telemetry.rejections import Rejection

# From a few candidates on a GPU to a large request on a CPU.
_LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 1800),
)
_UNKNOWN = "unknown"
"""In place of whether a corruption was proved, for all of a ranking whose pruning leaves that open for some: the share
of proved corruptions among the others stays what it is.
"""

_JOB_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)


class Kind(StrEnum):
    """Whether a client waits for an evaluation, or a job."""

    INTERACTIVE = "interactive"
    JOB = "job"


class Outcome(StrEnum):
    """The end of an evaluation."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Made(StrEnum):
    """The end of an attempt to make an evaluator."""

    MADE = "made"
    REFUSED = "refused"
    FAILED = "failed"


class Switch(StrEnum):
    """What came of the look for a faster engine."""

    SWITCHED = "switched"
    STAYED = "stayed"
    FAILED = "failed"


_MAX_SHAPES = 32
"""Number of shapes of policies with series of their own; those of the shape that was made first are dropped."""


class ServiceMetrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._steps, self._quality = StepsCollector(), QualityCollector()
        self._job_mrr_by_policy = JobMrrCollector()
        self._work, self._compiler = WorkCollector(), CompilerCollector()
        self._previous_policy: str | None = None
        # Names of shapes, the one made longest ago first.
        self._shapes: dict[str, None] = {}
        self._add_requests()
        self._add_evaluations()
        self._add_policies_and_jobs()
        self._add_start()
        for collector in (self._steps, self._quality, self._job_mrr_by_policy, self._work, self._compiler):
            self.registry.register(collector)
        self.registry.register(MemoryCollector())
        ProcessCollector(registry=self.registry)

    def _add_requests(self) -> None:
        self.request_seconds = self._histogram(
            "proofrank_request_duration_seconds",
            "Time from a request's arrival to its answer.",
            ["endpoint", "status"],
        )
        # The alert on faults must see the first one.
        for endpoint in ("/rank", "/sample"):
            self.request_seconds.labels(endpoint, "500")
        self.requests_in_flight = self._gauge(
            "proofrank_requests_in_flight", "Requests in progress, except those for metrics."
        )
        self.rejected_requests = self._counter("proofrank_rejected_requests", "Requests refused.", ["reason"])
        for reason in Rejection:
            self.rejected_requests.labels(reason)

    def _add_evaluations(self) -> None:
        self.queue_seconds = self._histogram(
            "proofrank_queue_duration_seconds",
            "Time from an evaluation's submission to its first tick, or to its end if it had none.",
            ["kind", "outcome"],
        )
        self.first_result_seconds = self._histogram(
            "proofrank_first_result_duration_seconds",
            "Time from an evaluation's submission to its first candidate done.",
            ["kind", "outcome"],
        )
        self.execution_seconds = self._histogram(
            "proofrank_execution_duration_seconds",
            "Time from an evaluation's first tick to its end.",
            ["kind", "outcome"],
        )
        for kind in Kind:
            for outcome in Outcome:
                for seconds in (self.queue_seconds, self.first_result_seconds, self.execution_seconds):
                    seconds.labels(kind, outcome)
        self.queued_candidates = self._gauge(
            "proofrank_queued_candidates",
            "Candidates waiting, running or being answered, except those of jobs.",
        )
        self.max_queued_candidates = self._gauge(
            "proofrank_max_queued_candidates", "Number of candidates above which requests are refused."
        )
        self.queries = self._counter("proofrank_queries", "Queries ranked, on one side or both.")
        self.candidates = self._counter("proofrank_candidates", "Candidates ranked.", ["kind", "proved"])
        for kind in ("positive", "corruption"):
            for proved in ("true", "false"):
                self.candidates.labels(kind, proved)
        self.candidates.labels("corruption", _UNKNOWN)
        self.scored_candidates = self._counter(
            "proofrank_scored_candidates",
            "Candidates that an embedding has scored, by what they were ranked by.",
            ["scoring"],
        )
        for scoring in ("embedding", "hybrid"):
            self.scored_candidates.labels(scoring)
        self.pruned_candidates = self._counter(
            "proofrank_pruned_candidates",
            "Candidates without a trajectory (provability), or whose trajectory was ended early (bound).",
            ["lever"],
        )
        self.open_candidates = self._counter(
            "proofrank_open_candidates",
            "Candidates that rankings to a tolerance have left open.",
        )
        self.trajectory_steps = self._counter(
            "proofrank_trajectory_steps",
            "Steps of all trajectories, by whether the trajectory was ended early.",
            ["pruned"],
        )
        for lever in ("provability", "bound"):
            self.pruned_candidates.labels(lever)
        for pruned in ("true", "false"):
            self.trajectory_steps.labels(pruned)
        self.sampled_trajectories = self._counter(
            "proofrank_sampled_trajectories", "Trajectories drawn, by whether they are proofs.", ["proved"]
        )
        for proved in ("true", "false"):
            self.sampled_trajectories.labels(proved)
        self.last_mrr = self._gauge(
            "proofrank_last_request_mrr", "MRR of the last request for ranks by proofs."
        )
        self.last_mrr.set(math.nan)  # 0 would be a bad one
        self.last_hits = self._gauge(
            "proofrank_last_request_hits_ratio", "Hits@k of the last request for ranks by proofs.", ["k"]
        )

    def _add_policies_and_jobs(self) -> None:
        self.policy_info = self._gauge(
            "proofrank_policy_info",
            "1, labelled with the live policy.",
            ["policy", "sha256"],
        )
        self.policy_activated = self._gauge(
            "proofrank_policy_activated_timestamp_seconds",
            "Time when the live policy went live here, in seconds since 1970.",
            ["policy", "sha256"],
        )
        self.previous_policy_info = self._gauge(
            "proofrank_previous_policy_info",
            "1, labelled with the policy that was live before.",
            ["policy", "sha256"],
        )
        self.policy_not_restored = self._gauge(
            "proofrank_policy_not_restored",
            "1 while the policy of the settings is live because the one activated last could not be brought back.",
        )
        self.policy_changes = self._counter(
            "proofrank_policy_changes",
            "Uploads, activations and deletions of policies by clients.",
            ["action"],
        )
        for action in ("upload", "activate", "delete"):
            self.policy_changes.labels(action)
        self.jobs = self._gauge("proofrank_jobs", "Stored jobs.", ["state"])
        for state in ("queued", "running", "done", "failed", "cancelled"):
            self.jobs.labels(state)
        self.job_chunks = self._counter("proofrank_job_chunks", "Chunks of jobs ranked and stored.")
        self.job_mrr = self._gauge("proofrank_job_mrr", "MRR of the last job done, under its ties.")
        self.job_mrr.set(math.nan)
        self.job_hits = self._gauge(
            "proofrank_job_hits_ratio", "Hits@k of the last job done, under its ties.", ["k"]
        )
        self.job_seconds = Histogram(
            "proofrank_job_duration_seconds",
            "Time from a job's start to its end, including restarts, for jobs that were done.",
            buckets=_JOB_BUCKETS,
            registry=self.registry,
        )

    def _add_start(self) -> None:
        self.least_model_atoms = self._gauge(
            "proofrank_least_model_atoms", "Atoms that can be proved, of relations where they are known."
        )
        self.least_model_seconds = self._gauge(
            "proofrank_least_model_seconds",
            "Time in which the least model was computed, also by an earlier process.",
        )
        self.least_model_is_superset = self._gauge(
            "proofrank_least_model_is_superset",
            "1 where the model of some relation also holds atoms that cannot be proved, else 0.",
        )
        for gauge in (self.least_model_atoms, self.least_model_seconds, self.least_model_is_superset):
            gauge.set(math.nan)  # until it is there
        self.ready = self._gauge("proofrank_ready", "1 when requests are taken, else 0.")
        self.startup_seconds = self._gauge(
            "proofrank_startup_stage_seconds", "Time of each stage of the start.", ["stage"]
        )
        self.compile_seconds = self._gauge(
            "proofrank_compile_seconds",
            "Time to compile the tick of a bucket and run it once.",
            ["bucket"],
        )
        self.evaluator_rebuilds = self._counter(
            "proofrank_evaluator_rebuilds", "Times that the evaluator was made again after a failure."
        )
        self.evaluator_makes = self._counter(
            "proofrank_evaluator_makes",
            "Attempts to make an evaluator for policies of a shape, those after failures left out.",
            ["shape", "result"],
        )
        self.evaluator_make_seconds = self._gauge(
            "proofrank_evaluator_make_seconds",
            "Time of the last attempt to make an evaluator for policies of a shape.",
            ["shape"],
        )
        self.engine_switches = self._counter(
            "proofrank_engine_switches",
            "What came of the look for a faster engine, which `auto` on a CPU goes over to.",
            ["result"],
        )
        for known in Switch:
            self.engine_switches.labels(known)
        self.evaluator_shapes = self._gauge(
            "proofrank_evaluator_shapes",
            "1 for each shape that there is an evaluator for, by whether the live policy has this shape.",
            ["shape", "live"],
        )
        self.evaluator_info = self._gauge(
            "proofrank_evaluator_info",
            "1, labelled with the evaluator.",
            ["dataset", "dataset_sha256", "engine", "device"],
        )
        build = self._gauge(
            "proofrank_build_info", "1, labelled with versions.", ["version", "torch", "python"]
        )
        build.labels(__version__, torch.__version__, platform.python_version()).set(1)

    def _counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> CounterMetric:
        return CounterMetric(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Histogram:
        return Histogram(name, documentation, labels, buckets=_LATENCY_BUCKETS, registry=self.registry)

    def watch(self, read: Callable[[], Snapshot]) -> None:
        """Sets the function that returns the scheduler's snapshots."""
        self._work.watch(read)

    @contextmanager
    def compiling(self) -> Iterator[Callable[[int], None]]:
        """Marks a warm-up, in which new graphs are expected; later ones count as recompiles.

        Yields a function to call with the number of lanes of each bucket before the bucket is warmed.
        """
        self._compiler.begin_warm_up()
        bucket: int | None = None
        began = time.perf_counter()

        def end_bucket() -> None:
            if bucket is not None:
                self.compile_seconds.labels(str(bucket)).set(time.perf_counter() - began)

        def begin_bucket(num_lanes: int) -> None:
            nonlocal bucket, began
            end_bucket()
            bucket, began = num_lanes, time.perf_counter()

        try:
            yield begin_bucket
            end_bucket()
        finally:  # also where there is no memory for it: what is warm already goes on
            self._compiler.end_warm_up()

    def show_evaluator(self, dataset: Dataset, engine: str, device: str) -> None:
        """Shows the evaluator's labels, in place of those before."""
        self.evaluator_info.clear()
        self.evaluator_info.labels(dataset.name, dataset.content_hash, engine, device).set(1)

    def show_least_model(self, num_atoms: int, seconds: float, *, is_exact: bool) -> None:
        """Shows the least model of the graph, and the time that its computation took."""
        self.least_model_atoms.set(num_atoms)
        self.least_model_seconds.set(seconds)
        self.least_model_is_superset.set(not is_exact)

    def record_made(self, shape: str, result: Made, seconds: float) -> None:
        """Counts an attempt to make an evaluator for policies of ``shape``."""
        self._shapes.pop(shape, None)
        self._shapes[shape] = None
        for known in Made:
            self.evaluator_makes.labels(shape, known)
        self.evaluator_makes.labels(shape, result).inc()
        self.evaluator_make_seconds.labels(shape).set(seconds)
        if len(self._shapes) > _MAX_SHAPES:
            dropped = next(iter(self._shapes))
            del self._shapes[dropped]
            for known in Made:
                self.evaluator_makes.remove(dropped, known)
            self.evaluator_make_seconds.remove(dropped)

    def show_shapes(self, shapes: Collection[str], live: str) -> None:
        """Shows the shapes that there are evaluators for, and which of them the live policy has."""
        self.evaluator_shapes.clear()
        for shape in shapes:
            self.evaluator_shapes.labels(shape, str(shape == live).lower()).set(1)

    def show_live_policy(self, dataset: Dataset, policy: Policy, previous: Policy | None) -> None:
        """Shows the live policy, and the one that was live before."""
        self.policy_info.clear()
        self.policy_info.labels(policy.name, policy.content_hash).set(1)
        self.policy_activated.clear()
        self.policy_activated.labels(policy.name, policy.content_hash).set_to_current_time()
        self._quality.show(dataset, policy)
        if previous is not None and previous.content_hash != policy.content_hash:
            self.previous_policy_info.clear()
            self.previous_policy_info.labels(previous.name, previous.content_hash).set(1)
            self._previous_policy = previous.name

    def keep_policies(self, names: Collection[str]) -> None:
        """Drops the series of deleted policies, so that uploads cannot add series without end."""
        self._quality.keep(names)
        self._job_mrr_by_policy.keep(names)
        if self._previous_policy not in names:
            self.previous_policy_info.clear()

    def record_ended(
        self,
        kind: Kind,
        outcome: Outcome,
        queue_seconds: float,
        first_result_seconds: float | None,
        execution_seconds: float | None,
    ) -> None:
        """Counts an ended evaluation with its times; None for a time that did not occur."""
        self.queue_seconds.labels(kind, outcome).observe(queue_seconds)
        if first_result_seconds is not None:
            self.first_result_seconds.labels(kind, outcome).observe(first_result_seconds)
        if execution_seconds is not None:
            self.execution_seconds.labels(kind, outcome).observe(execution_seconds)

    def record_job_done(
        self,
        mrr: tuple[float, float],
        hits_at: Mapping[int, float],
        seconds: float,
        *,
        policy: str,
        sha256: str,
        split: str | None,
        is_by_proofs: bool = True,
    ) -> None:
        """Counts a job that was done, ``seconds`` after it began.

        What says how good a policy is has the figures of those alone that were ranked by proofs alone.

        Args:
            mrr: lowest and highest value that the MRR of all that it ranked can have.
            hits_at: k to Hits@k, where that is known.
            seconds: from its beginning to its end.
            policy: name of the policy that it was ranked by.
            sha256: of the policy's content.
            split: what it ranked; None for queries of the client's own.
            is_by_proofs: whether its scores are those of proofs alone.
        """
        self.job_seconds.observe(seconds)
        if not is_by_proofs:
            return
        if mrr[0] == mrr[1]:
            self.job_mrr.set(mrr[0])
        self._job_mrr_by_policy.record(policy, sha256, split, *mrr)
        for k, share in hits_at.items():
            self.job_hits.labels(str(k)).set(share)

    def _record_trajectories(self, parts: Iterable[_Trajectories]) -> None:
        """Counts steps, and what pruning has left out."""
        success, steps, is_pruned = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        for proved in (False, True):
            # Lengths of trajectories that took their course: others would seem short.
            self._steps.observe(_number_by_steps(steps[~is_pruned & (success == proved)]), proved=proved)
        num_unprovable = int(np.count_nonzero(is_pruned & (steps == 0)))
        self.pruned_candidates.labels("provability").inc(num_unprovable)
        self.pruned_candidates.labels("bound").inc(int(np.count_nonzero(is_pruned)) - num_unprovable)
        for pruned in (False, True):
            self.trajectory_steps.labels(str(pruned).lower()).inc(int(steps[is_pruned == pruned].sum()))

    def record_scored(self, scoring: ScoringKind, ranked: Sequence[RankedQuery]) -> None:
        """Counts what an embedding has scored for one request or one chunk of a job; may be called in any thread.

        Queries are counted here where nothing is proved, else by :meth:`record_ranked`.

        Args:
            scoring: ``embedding`` or ``hybrid``.
            ranked: the queries.
        """
        self.scored_candidates.labels(scoring).inc(sum(len(query.outcomes) for query in ranked))
        if scoring == "embedding":
            self.queries.inc(len({query.query_index for query in ranked}))

    def record_ranked(
        self,
        ranked: Sequence[RankedQuery],
        dataset: Dataset,
        policy: Policy,
        kind: Kind = Kind.INTERACTIVE,
        *,
        is_judged: bool = True,
    ) -> None:
        """Counts the ranked queries of one request or one chunk of a job; may be called in any thread.

        Args:
            ranked: the queries.
            dataset: the graph.
            policy: that ranked them.
            kind: whether a client waits for them, or a job.
            is_judged: whether they say how good the policy is: ranks by proofs alone, and no explanations, of which the
                worst ranks have most.
        """
        # Counted first and added to the series once, because a request may have a million candidates.
        positives = _joined(query.outcomes[:1] for query in ranked)
        corruptions = _joined(query.outcomes[1:] for query in ranked if query.knows_proved)
        others = _joined(query.outcomes[1:] for query in ranked if not query.knows_proved)
        for label, outcomes in (("positive", positives), ("corruption", corruptions)):
            num_proved = int(np.count_nonzero(outcomes.success))
            self.candidates.labels(label, "true").inc(num_proved)
            self.candidates.labels(label, "false").inc(len(outcomes.success) - num_proved)
        self.candidates.labels("corruption", _UNKNOWN).inc(len(others.success))
        self._record_trajectories((positives, corruptions, others))
        self.queries.inc(len({query.query_index for query in ranked}))
        if not is_judged:
            return
        self._quality.record(ranked, dataset, policy)
        if kind is Kind.INTERACTIVE and ranked:
            ranks = [query.ranks.realistic for query in ranked]
            self.last_mrr.set(math.fsum(1 / rank for rank in ranks) / len(ranks))
            for k in HITS_AT:
                self.last_hits.labels(str(k)).set(sum(rank <= k for rank in ranks) / len(ranks))

    def record_part(self, candidates: Candidates, outcomes: Outcomes, num_unprovable: int) -> None:
        """Counts a part of a ranking to a tolerance; may be called in any thread.

        Args:
            candidates: that were proved, ``[n]``.
            outcomes: ``[n]``.
            num_unprovable: candidates that need no trajectory after it.
        """
        success = outcomes.success[candidates.is_positive]
        num_proved = int(np.count_nonzero(success))
        self.candidates.labels("positive", "true").inc(num_proved)
        self.candidates.labels("positive", "false").inc(len(success) - num_proved)
        # Whichever come first are no sample of all.
        self.candidates.labels("corruption", _UNKNOWN).inc(len(outcomes) - len(success) + num_unprovable)
        self.pruned_candidates.labels("provability").inc(num_unprovable)
        self._record_trajectories([_joined([outcomes])])

    def record_sampled(self, outcomes: Outcomes) -> None:
        """Counts the trajectories of a request that drew them."""
        num_proved = int(np.count_nonzero(outcomes.success))
        self.sampled_trajectories.labels("true").inc(num_proved)
        self.sampled_trajectories.labels("false").inc(len(outcomes) - num_proved)

    def record_refined(self, metrics: MetricIntervals, kind: Kind, scoring: ScoringKind = "proof") -> None:
        """Counts the queries of a ranking to a tolerance that is done, and what it has left open; shows those metrics
        that are known, if they are of proofs alone.
        """
        self.queries.inc(metrics.queries)
        self.open_candidates.inc(metrics.open)
        if scoring != "proof":
            self.scored_candidates.labels(scoring).inc(metrics.candidates)
            return
        if kind is Kind.INTERACTIVE and metrics.mrr.value is not None:
            self.last_mrr.set(metrics.mrr.value)
            for k, share in metrics.hits_at.items():
                if share.value is not None:
                    self.last_hits.labels(str(k)).set(share.value)


class _Trajectories(NamedTuple):
    """What is counted of outcomes.

    Attributes:
        success: ``[n]`` bool.
        steps: ``[n]`` int64.
        is_pruned: ``[n]`` bool.
    """

    success: np.ndarray
    steps: np.ndarray
    is_pruned: np.ndarray


def _joined(parts: Iterable[Outcomes]) -> _Trajectories:
    """The trajectories of all ``parts``."""
    outcomes = [Outcomes.unprovable(0), *parts]
    return _Trajectories(
        *(
            np.concatenate([getattr(part, name) for part in outcomes])
            for name in ("success", "steps", "is_pruned")
        )
    )


def _number_by_steps(steps: np.ndarray) -> dict[int, int]:
    """Returns steps -> number of trajectories with so many steps."""
    numbers = np.bincount(steps)
    return {number: int(numbers[number]) for number in np.flatnonzero(numbers).tolist()}
