"""A job as it is stored, and its rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proofrank.core.graph import Dataset
from proofrank.core.ranking import RankedQuery, RankingSummary
from proofrank.service.wire import UNFINISHED_STATES, Identity, JobState, RunStep


class JobError(Exception):
    """A job cannot be done; the text is for the client that submitted it."""


@dataclass(frozen=True)
class Job:
    """A job as it is stored.

    Attributes:
        number: place in the order of submission.
        id: name for clients.
        state: ``queued`` until its turn, then ``running``, and one of the other states at its end.
        created: time of submission; all times are ISO 8601 in UTC.
        started: time of its first turn.
        finished: time of its end.
        policy: policy that ranks it, also after another is activated.
        dataset: dataset of its triples.
        options_json: the :class:`~proofrank.service.wire.JobOptions` of the request.
        num_queries: number of triples to rank.
        queries_done: number of triples whose rankings are stored.
        num_candidates: candidates of all queries; None until its turn, because counting them takes a while.
        candidates_done: candidates of the queries done.
        candidates_unprovable: those of them without a trajectory, because they have no proof.
        candidates_fallen_behind: those of them whose trajectories were ended early.
        trajectory_steps: steps of their trajectories; None if a version that did not count them has begun the job.
        report_json: metrics over the queries done; None if there are none.
        error: why it failed, or why it waits.
        scoring_json: the :class:`~proofrank.service.wire.Scoring`, fixed at submission; None for scores of proofs.
        engine: engine that it has begun with, and keeps; None before that, and where nothing is proved.
        prover_json: settings of the prover and precision that it has begun with, by name; None as ``engine``, and for a
            job that an older version has begun.
        place: run, step and labels that the policy had at submission.
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
    candidates_unprovable: int
    candidates_fallen_behind: int
    trajectory_steps: int | None
    report_json: str | None
    error: str | None
    scoring_json: str | None
    engine: str | None
    prover_json: str | None
    place: RunStep

    @property
    def is_finished(self) -> bool:
        """Whether the job has ended; a finished job no longer changes."""
        return self.state not in UNFINISHED_STATES


@dataclass(frozen=True)
class Change:
    """A change of a job.

    Attributes:
        job: the job after the change. A removed job is given as it ended: cancelled, unless it had ended before. None
            if the change concerns no single job.
        counts: number of jobs in each state after the change.
    """

    job: Job | None
    counts: Mapping[JobState, int]


@dataclass(frozen=True)
class StoredRanking:
    """A query ranked on one side, with the names of its triple: readable whichever dataset is served.

    Attributes:
        head: name of the first constant.
        relation: name of the predicate.
        tail: name of the second constant.
        score: score of the positive, by which it is ranked.
        log_probability: log-probability of the positive's trajectory.
        steps: steps of that trajectory.
        summary: place in the job, side, ranks, number of proofs, seconds.
        embedding_score: the embedding's score of the positive; None for scores of proofs alone.
    """

    head: str
    relation: str
    tail: str
    score: float
    log_probability: float
    steps: int
    summary: RankingSummary
    embedding_score: float | None = None

    @classmethod
    def of(cls, ranked: RankedQuery, dataset: Dataset) -> StoredRanking:
        """Makes the stored form of a ranked query."""
        head, relation, tail = dataset.names(ranked.query)
        positive = ranked.outcomes[0]
        return cls(
            *(head, relation, tail),
            *(ranked.positive_score, positive.log_probability, positive.steps, ranked.summary),
            embedding_score=None if ranked.embedding is None else float(ranked.embedding[0]),
        )
