"""Jobs as the service answers them: the ranking of a whole split or of many triples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from proofrank.service.client.dataframes import frame, ranking_row
from proofrank.service.client.errors import ClientError
from proofrank.service.client.results import Identity, Ranks, Report

if TYPE_CHECKING:
    import pandas

DONE = "done"
ENDED = frozenset({DONE, "failed", "cancelled"})


@dataclass(frozen=True)
class JobProgress:
    """How much of a job there is, and how much of it is done; ``candidates`` is None until they are counted."""

    queries: int
    queries_done: int
    candidates: int | None
    candidates_done: int


@dataclass(frozen=True)
class Job:
    """A job; ``state`` is queued, running, done, failed or cancelled; ``metrics`` are those so far."""

    id: str
    state: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    policy: Identity
    dataset: Identity
    request: dict[str, Any]
    progress: JobProgress
    metrics: Report | None
    error: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED


class JobError(ClientError):
    """A job ended without being done.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"job {job.id} {job.state}{f': {job.error}' if job.error else ''}")


@dataclass(frozen=True)
class JobRanking:
    """One query of a job on one side; ``query_index`` is its place in the split or the request, from 0."""

    query_index: int
    head: str
    relation: str
    tail: str
    side: str
    rank: float
    reciprocal_rank: float
    ranks: Ranks
    score: float
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int
    corruptions_proved: int


@dataclass(frozen=True)
class JobResult:
    """A job that is done; ``rankings`` are in the order of the split or the request."""

    job: Job
    rankings: tuple[JobRanking, ...]

    @property
    def metrics(self) -> Report:
        """The metrics of the whole job."""
        assert self.job.metrics is not None
        return self.job.metrics

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking, with the columns of the job's CSV, and ``reciprocal_rank``.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            {
                **ranking_row(ranking.query_index, ranking, ranking),
                "corruptions_proved": ranking.corruptions_proved,
            }
            for ranking in self.rankings
        )
