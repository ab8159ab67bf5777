"""Request and answer of ``/jobs``, as described by OpenAPI."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from proofrank.core.formats.times import rewrite_time
from proofrank.service.jobs.job import Job, JobState, StoredRanking
from proofrank.service.policies.schemas import POLICY_NAME_PATTERN
from proofrank.service.ranking.schemas import Identity, NamedTriple, RankOptions, RanksView, ReportView, Ties


class JobOptions(RankOptions):
    """What a job ranks and how, without the client's own queries."""

    split: Literal["train", "valid", "test"] | None = Field(
        None, description="split of the dataset to rank; unset if the client sent queries"
    )
    policy: str | None = Field(
        None,
        pattern=POLICY_NAME_PATTERN,
        description="name of the policy to rank by; the active one if unset",
    )
    limit: int | None = Field(
        None, ge=1, description="maximum number of triples of the split, drawn with the seed; all if unset"
    )


class JobRequest(JobOptions):
    """A split or queries, and how to rank them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"split": "test", "corruptions": 100, "seed": 0}]},
    )

    queries: list[NamedTriple] | None = Field(
        None, min_length=1, fail_fast=True, description="triples to rank, in place of a split"
    )

    @model_validator(mode="after")
    def _split_or_queries(self) -> JobRequest:
        if (self.split is None) == (self.queries is None):
            raise PydanticCustomError("split_or_queries", "expected either 'split' or 'queries'")
        if self.limit is not None and self.split is None:
            raise PydanticCustomError(
                "limit_of_split", "'limit' applies to splits; send fewer queries instead"
            )
        return self


class JobProgress(BaseModel):
    """Progress of a job; what is done is stored."""

    queries: int
    queries_done: int
    candidates: int | None = Field(description="candidates of all queries; null until the job has begun")
    candidates_done: int


def _shown(time: str | None) -> str | None:
    return None if time is None else rewrite_time(time)


class JobView(BaseModel):
    """A job."""

    id: str
    state: JobState
    created: str = Field(description="RFC 3339, UTC, as all times")
    started: str | None
    finished: str | None
    policy: Identity = Field(description="pinned when the job was submitted")
    dataset: Identity
    request: JobOptions = Field(description="the request as submitted, without the client's own queries")
    progress: JobProgress
    metrics: ReportView | None = Field(description="metrics over the queries done; null if there are none")
    error: str | None = Field(description="why the job failed, or why it waits")

    @classmethod
    def of(cls, job: Job) -> JobView:
        """Makes the view of a stored job."""
        return cls(
            id=job.id,
            state=job.state,
            created=rewrite_time(job.created),
            started=_shown(job.started),
            finished=_shown(job.finished),
            policy=Identity(name=job.policy.name, sha256=job.policy.sha256),
            dataset=Identity(name=job.dataset.name, sha256=job.dataset.sha256),
            request=JobOptions.model_validate_json(job.options_json),
            progress=JobProgress(
                queries=job.num_queries,
                queries_done=job.queries_done,
                candidates=job.num_candidates,
                candidates_done=job.candidates_done,
            ),
            metrics=None if job.report_json is None else ReportView.model_validate_json(job.report_json),
            error=job.error,
        )


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


class JobRanking(BaseModel):
    """One query on one side."""

    query_index: int = Field(description="place in the split or the request, from 0")
    head: str
    relation: str
    tail: str
    side: Literal["head", "tail"]
    rank: float = Field(description="rank under the job's ties")
    reciprocal_rank: float
    ranks: RanksView
    score: float = Field(description="score of the positive: its log-probability, less 100 if not proved")
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int = Field(description="number of candidates ranked, including the positive")
    corruptions_proved: int

    @classmethod
    def of(cls, ranking: StoredRanking, ties: Ties) -> JobRanking:
        """Makes the view of a stored ranking."""
        summary, ranks = ranking.summary, ranking.summary.ranks
        rank = ranks.by(ties)
        return cls(
            query_index=summary.query_index,
            head=ranking.head,
            relation=ranking.relation,
            tail=ranking.tail,
            side=summary.side,
            rank=rank,
            reciprocal_rank=1 / rank,
            ranks=RanksView(
                optimistic=ranks.optimistic,
                realistic=ranks.realistic,
                pessimistic=ranks.pessimistic,
                random=ranks.random,
            ),
            score=ranking.score,
            log_probability=ranking.log_probability,
            proved=summary.is_proved,
            steps=ranking.steps,
            num_candidates=ranks.num_candidates,
            corruptions_proved=summary.corruptions_proved,
        )


class JobResults(BaseModel):
    """A job and the rankings of its queries done so far, in the order of the split or the request."""

    job: JobView
    rankings: list[JobRanking]
