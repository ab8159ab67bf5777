"""What ``/jobs`` takes and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from proofrank.service.wire.described import described
from proofrank.service.wire.intervals import IntervalReport, RankInterval
from proofrank.service.wire.policies import AskedPolicy, AskedSha256, check_asked_policy
from proofrank.service.wire.rank_answer import (
    SENT_IN_FULL,
    Head,
    Identity,
    Pruning,
    RankedPositive,
    Relation,
    Report,
    Scoring,
    Tail,
)
from proofrank.service.wire.rank_request import (
    NamedTriple,
    PruningLevel,
    ReportOptions,
    ScoredToTolerance,
)
from proofrank.service.wire.run_steps import RunStep
from proofrank.service.wire.times import Time

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

JOB_STATES: tuple[JobState, ...] = ("queued", "running", "done", "failed", "cancelled")
EXAMPLE_JOB_ID = "57137823667a40cbaa0db2c61742e55e"
UNFINISHED_STATES: tuple[JobState, ...] = ("queued", "running")


class JobOptions(ScoredToTolerance, ReportOptions):
    """What a job ranks, except for the client's own queries, and how."""

    split: Literal["train", "valid", "test"] | None = Field(
        None,
        description="Split of the dataset whose triples are ranked; null for a job of the client's own queries.",
        examples=["valid"],
    )
    policy: AskedPolicy = Field(
        None,
        description="Name of the policy that ranks; by default the one that is live when the job is submitted.",
    )
    policy_sha256: AskedSha256 = None
    limit: int | None = Field(
        None,
        ge=1,
        description="Maximum number of triples of the split, drawn with the seed; by default all of them.",
        examples=[1000],
    )

    @property
    def pruning_level(self) -> PruningLevel:
        """What may be left out; nothing where nothing is proved."""
        if self.scoring == "embedding":
            return "none"
        return self.pruning or ("exact" if self.mrr_tolerance is None else "ranks")


class JobRequest(JobOptions):
    """A split or queries, and how to rank them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"split": "test", "corruptions": 100, "seed": 0}]},
    )

    queries: list[NamedTriple] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="Triples to rank, in place of a split.",
    )

    @model_validator(mode="after")
    def _split_or_queries(self) -> JobRequest:
        if (self.split is None) == (self.queries is None):
            raise PydanticCustomError("split_or_queries", "expected either 'split' or 'queries'")
        if self.limit is not None and self.split is None:
            raise PydanticCustomError(
                "limit_of_split", "'limit' applies to splits; send fewer queries instead"
            )
        if self.ranking_rules.has_fixed_negatives:
            raise PydanticCustomError(
                "negatives_of_job",
                "protocol '{protocol}' needs the negatives of each query, which a job has no room for; send them to "
                "/rank as 'candidates'",
                {"protocol": self.protocol},
            )
        check_asked_policy(self.policy, self.policy_sha256)
        return self


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job; what is done is stored."""

    queries: Annotated[int, described("Number of queries of the job.", 24)]
    queries_done: Annotated[
        int,
        described(
            "Number of queries whose rankings are stored; with `mrr_tolerance`, whose positives were tried, until the "
            "job is done.",
            10,
        ),
    ]
    candidates: Annotated[
        int | None, described("Number of candidates of all queries; null until the job has begun.", 2448)
    ]
    candidates_done: Annotated[
        int,
        described(
            "Number of candidates of the finished queries; with `mrr_tolerance`, of those that move no rank any more.",
            1020,
        ),
    ]


@dataclass(frozen=True)
class _JobFields:
    """A job without its place in a run."""

    id: Annotated[str, described("Id of the job.", EXAMPLE_JOB_ID)]
    state: Annotated[JobState, described("State of the job; the last three are final.", "running")]
    created: Annotated[Time, described("Time of submission, RFC 3339 in UTC.", "2026-01-31T12:00:00.000Z")]
    started: Annotated[
        Time | None, described("Time at which the job began; null before.", "2026-01-31T12:00:00.125Z")
    ]
    finished: Annotated[
        Time | None, described("Time at which the job ended; null before.", "2026-01-31T12:04:10.500Z")
    ]
    policy: Annotated[Identity, described("Policy that ranks the job, fixed when it was submitted.")]
    dataset: Annotated[Identity, described("Dataset that was served when the job was submitted.")]
    request: Annotated[
        JobOptions, described("Options of the job as submitted, without the client's own queries.")
    ]
    progress: Annotated[JobProgress, described("Progress of the job.")]
    metrics: Annotated[
        Report | None,
        described("Metrics over the finished queries; null if there are none, and with `mrr_tolerance`."),
    ]
    error: Annotated[
        str | None,
        described("Reason why the job failed, or why it waits; else null.", "the data folder is full"),
    ]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in UNFINISHED_STATES


@dataclass(frozen=True, config=SENT_IN_FULL)
class Job(RunStep, _JobFields):
    """A job; run, step and labels are those that its policy had when the job was submitted."""

    pruning: Annotated[
        Pruning | None,
        described(
            "What was left out of the finished queries; missing from an older server, which left out nothing."
        ),
    ] = None
    intervals: Annotated[
        IntervalReport | None,
        described("Intervals of the metrics so far, of a job with `mrr_tolerance`; null for other jobs."),
    ] = None
    scoring: Annotated[
        Scoring | None,
        described(
            "What the scores are, fixed when the job was submitted; missing from an older server: those of proofs."
        ),
    ] = None
    engine: Annotated[
        str | None,
        described(
            "Engine that computes the ranks, from the first to the last; null before the job's turn, where nothing is "
            "proved, and from an older server.",
            "eager",
        ),
    ] = None


@dataclass(frozen=True)
class JobList:
    """Jobs, the newest first."""

    jobs: Annotated[tuple[Job, ...], described("Jobs, the newest first.")]


@dataclass(frozen=True)
class _PlaceInJob:
    """Place of a ranking in its job, and its triple."""

    query_index: Annotated[int, described("Place of the query in the split or the request, from 0.", 0)]
    head: Head
    relation: Relation
    tail: Tail


@dataclass(frozen=True, config=SENT_IN_FULL)
class JobRanking(RankedPositive, _PlaceInJob):
    """A query of a job, ranked on one side."""

    corruptions_proved: Annotated[
        int | None, described("Number of corruptions that were proved; null if pruning left it open.", 6)
    ]
    embedding_score: Annotated[
        float | None, described("The embedding's score of the positive; null with scoring `proof`.", 3.25)
    ] = None


@dataclass(frozen=True)
class JobRankInterval(RankInterval, _PlaceInJob):
    """A query of a job on one side, and where its rank lies."""


@dataclass(frozen=True, config=SENT_IN_FULL)
class JobResults:
    """A job and the rankings of its finished queries."""

    job: Annotated[Job, described("Job that the rankings are of.")]
    rankings: Annotated[
        tuple[JobRanking, ...],
        described(
            "Rankings of the finished queries, in the order of the split or the request; none with `mrr_tolerance`."
        ),
    ]
    rank_intervals: Annotated[
        tuple[JobRankInterval, ...] | None,
        described("Intervals of the ranks so far, of a job with `mrr_tolerance`; null for other jobs."),
    ] = None
