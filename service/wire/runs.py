"""Training runs: the run and step that a policy belongs to, and what ``/runs`` answers."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described
from proofrank.service.wire.intervals import IntervalMetrics
from proofrank.service.wire.jobs import EXAMPLE_JOB_ID, JobOptions, JobState
from proofrank.service.wire.rank_answer import Identity, Metrics
from proofrank.service.wire.run_steps import EXAMPLE_LABELS
from proofrank.service.wire.times import Time

_SENT_IN_FULL = ConfigDict(json_schema_serialization_defaults_required=True)


@dataclass(frozen=True)
class RunSummary:
    """A run in a list."""

    name: Annotated[str, described("Name of the run.", "run-7")]
    steps: Annotated[int, described("Number of steps that a policy or a job is of.", 12)]
    last_step: Annotated[int, described("Largest step.", 11)]
    jobs: Annotated[int, described("Number of jobs.", 24)]
    first: Annotated[Time, described("Time of the first upload or job, UTC.", "2026-01-31T12:00:00.000Z")]
    last: Annotated[Time, described("Time of the last upload or job, UTC.", "2026-01-31T14:30:00.000Z")]


@dataclass(frozen=True)
class RunList:
    """The answer to ``GET /runs``."""

    runs: Annotated[tuple[RunSummary, ...], described("Runs, the one with the last upload or job first.")]


@dataclass(frozen=True)
class MetricInterval:
    """An interval of a metric."""

    low: Annotated[float, described("Lower bound.", 0.68)]
    high: Annotated[float, described("Upper bound.", 0.74)]


@dataclass(frozen=True, config=_SENT_IN_FULL)
class StepJob:
    """A job of a step."""

    id: Annotated[str, described("Id of the job.", EXAMPLE_JOB_ID)]
    state: Annotated[JobState, described("State of the job.", "done")]
    created: Annotated[Time, described("Time of submission, UTC.", "2026-01-31T12:00:00.000Z")]
    request: Annotated[JobOptions, described("Options of the job.")]
    metrics: Annotated[
        Metrics | None,
        described("Metrics over the finished queries; null if there are none, and with `mrr_tolerance`."),
    ]
    intervals: Annotated[
        IntervalMetrics | None,
        described("Intervals of the metrics so far, of a job with `mrr_tolerance`; null for other jobs."),
    ] = None
    mrr_interval: Annotated[
        MetricInterval | None,
        described(
            "Interval (95 %) of the MRR over other queries of the kind; null if it was not asked for, for a job that "
            "is not done, with a single query, and with `mrr_tolerance`."
        ),
    ] = None


@dataclass(frozen=True, config=_SENT_IN_FULL)
class StepOfRun:
    """A policy of a run, and the jobs that it has ranked."""

    step: Annotated[int, described("Step of the run.", 3)]
    policy: Annotated[Identity, described("Policy of this step.")]
    is_stored: Annotated[bool, described("Whether the name of the policy still has this content.", True)]
    jobs: Annotated[tuple[StepJob, ...], described("Jobs of this policy, in the order of submission.")]
    labels: Annotated[dict[str, str], described("Labels given at the upload.", EXAMPLE_LABELS)] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Run:
    """A run with its metrics by step."""

    name: Annotated[str, described("Name of the run.", "run-7")]
    steps: Annotated[
        tuple[StepOfRun, ...],
        described(
            "Steps in order, the newest ones if there are too many; one entry for each content of a step."
        ),
    ]
