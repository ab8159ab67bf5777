"""What a job is: its state as it is stored, and the rankings that it has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proofrank.core.graph import Dataset
from proofrank.core.ranking import RankedQuery, RankingSummary
from proofrank.service.wire import UNFINISHED_STATES, Identity, JobState


class JobError(Exception):
    """A job cannot be done; the text is for whoever submitted it."""


@dataclass(frozen=True)
class Job:
    """A job as it is stored.

    Attributes:
        number: its place in the order of submission.
        id: names it to clients.
        state: ``queued`` until its turn, ``running`` from then on, and one of the others at its end.
        created: when it was submitted; all times are ISO 8601 in UTC.
        started: when its turn first came.
        finished: when it ended.
        policy: ranks it, whatever is activated meanwhile.
        dataset: whose triples it ranks.
        options_json: the :class:`~proofrank.service.wire.JobOptions` of the request.
        num_queries: how many triples it ranks.
        queries_done: how many of them are ranked, and their rankings stored.
        num_candidates: of all queries; None until its turn, for it takes a while to count them.
        candidates_done: of the queries done.
        report_json: the metrics over the queries done; None where there are none.
        error: why it failed, or why it waits.
    """

    number: int
    id: str
    state: JobState
    created: str
    started: str | None
    finished: str | None
    policy: Identity
    dataset: Identity
    options_json: str
    num_queries: int
    queries_done: int
    num_candidates: int | None
    candidates_done: int
    report_json: str | None
    error: str | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing about it will change any more."""
        return self.state not in UNFINISHED_STATES


@dataclass(frozen=True)
class Change:
    """A job that is no longer as it was.

    Attributes:
        job: as it is now, or, where it was removed, as it ended: cancelled, unless it had ended before. None where no
            one job has changed.
        counts: how many jobs are in each state now.
    """

    job: Job | None
    counts: Mapping[JobState, int]


@dataclass(frozen=True)
class StoredRanking:
    """A query ranked on one side, with the names of its triple: readable whatever is being served.

    Attributes:
        head: name of the first constant.
        relation: name of the predicate.
        tail: name of the second constant.
        score: of the positive: log-probability, less 100 if not proved.
        log_probability: of the positive's trajectory.
        steps: of that trajectory.
        summary: its place in the job, side, ranks, what was proved, seconds.
    """

    head: str
    relation: str
    tail: str
    score: float
    log_probability: float
    steps: int
    summary: RankingSummary

    @classmethod
    def of(cls, ranked: RankedQuery, dataset: Dataset) -> StoredRanking:
        """What is stored of a ranked query."""
        head, relation, tail = dataset.names(ranked.query)
        positive = ranked.outcomes[0]
        return cls(
            head, relation, tail, positive.score, positive.log_probability, positive.steps, ranked.summary
        )
