"""What ``/jobs`` takes and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from proofrank.service.wire.policies import POLICY_NAME_PATTERN
from proofrank.service.wire.rank_answer import Identity, RankedPositive, Report
from proofrank.service.wire.rank_request import NamedTriple, RankOptions
from proofrank.service.wire.times import Time

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

JOB_STATES: tuple[JobState, ...] = ("queued", "running", "done", "failed", "cancelled")
UNFINISHED_STATES: tuple[JobState, ...] = ("queued", "running")


class JobOptions(RankOptions):
    """What a job ranks, but for queries of the client's own, and how."""

    split: Literal["train", "valid", "test"] | None = Field(
        None, description="the dataset's triples to rank; unset where the client sent queries"
    )
    policy: str | None = Field(
        None,
        pattern=POLICY_NAME_PATTERN,
        description="name of the policy to rank by; the active one if unset",
    )
    limit: int | None = Field(
        None, ge=1, description="rank only so many triples of the split, drawn with the seed; all if unset"
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


@dataclass(frozen=True)
class JobProgress:
    """How far a job is; what is done is stored."""

    queries: int
    queries_done: int
    candidates: Annotated[int | None, Field(description="of all queries; null until the job has begun")]
    candidates_done: int


@dataclass(frozen=True)
class Job:
    """A job."""

    id: str
    state: JobState
    created: Annotated[Time, Field(description="RFC 3339, UTC, as all times")]
    started: Time | None
    finished: Time | None
    policy: Annotated[Identity, Field(description="pinned when the job was submitted")]
    dataset: Identity
    request: Annotated[JobOptions, Field(description="as submitted, without queries of the client's own")]
    progress: JobProgress
    metrics: Annotated[Report | None, Field(description="over the queries done; null where there are none")]
    error: Annotated[str | None, Field(description="why the job failed, or why it waits")]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in UNFINISHED_STATES


@dataclass(frozen=True)
class JobList:
    """Jobs, the newest first."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class _PlaceInJob:
    """Which of a job's triples it is."""

    query_index: Annotated[int, Field(description="its place in the split or the request, from 0")]
    head: str
    relation: str
    tail: str


@dataclass(frozen=True)
class JobRanking(RankedPositive, _PlaceInJob):
    """One query on one side."""

    corruptions_proved: int


@dataclass(frozen=True)
class JobResults:
    """A job and the rankings of the queries that it has done, in the order of the split or the request."""

    job: Job
    rankings: tuple[JobRanking, ...]
