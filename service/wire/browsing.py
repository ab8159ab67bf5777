"""What the page asks of jobs and of the server beside the rest of the API: rankings in pieces, groups, activity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described
from proofrank.service.wire.jobs import JobRanking, JobState
from proofrank.service.wire.rank_answer import Identity, Metrics

RankingOrder = Literal["query", "worst", "best"]

MAX_RANKINGS_LISTED = 1000
"""Largest number of rankings in one answer of ``GET /jobs/{id}/rankings``."""


@dataclass(frozen=True)
class RankingList:
    """Some rankings of a job."""

    total: Annotated[int, described("Number of rankings that were asked for, listed here or not.", 48)]
    rankings: Annotated[
        tuple[JobRanking, ...], described("Rankings from `offset`, in the order that was asked for.")
    ]


@dataclass(frozen=True)
class RankingGroups:
    """The metrics of a job by what its report does not group by."""

    by_depth: Annotated[
        dict[str, Metrics],
        described("Metrics for each depth in the dataset's files of depths; empty where there is none."),
    ]
    by_steps: Annotated[
        dict[str, Metrics],
        described("Metrics for each number of steps of the triple's own proof, and for `not proved`."),
    ]


@dataclass(frozen=True)
class Activity:
    """What the server is doing at this moment."""

    stage: Annotated[str, described("Stage of the server; `ready` when it takes requests.", "ready")]
    seconds: Annotated[float, described("Seconds since the stage began.", 12.5)]
    policy: Annotated[Identity | None, described("Live policy; null until the server is ready.")]
    queued_candidates: Annotated[int, described("Number of candidates of requests that wait or run.", 0)]
    max_queued_candidates: Annotated[int, described("Largest number of those.", 1000000)]
    tasks: Annotated[int, described("Number of requests and chunks of jobs that wait or run.", 1)]
    candidates_per_second: Annotated[
        float, described("Candidates done per second over the last 30 seconds.", 1250.0)
    ]
    jobs: Annotated[
        dict[JobState, int], described("Number of jobs in each state.", {"running": 1, "done": 24})
    ]
