"""From stored jobs and rankings to what clients get."""

from __future__ import annotations

from datetime import datetime

from proofrank.service import wire
from proofrank.service.jobs.job import Job, StoredRanking


def job_answer(job: Job) -> wire.Job:
    """A stored job as clients get it."""
    request = wire.JobOptions.model_validate_json(job.options_json)
    has_intervals = request.mrr_tolerance is not None
    report = (
        None if job.report_json is None or has_intervals else wire.read_answer(wire.Report, job.report_json)
    )
    return wire.Job(
        id=job.id,
        state=job.state,
        created=datetime.fromisoformat(job.created),
        started=_time(job.started),
        finished=_time(job.finished),
        policy=job.policy,
        dataset=job.dataset,
        request=request,
        progress=wire.JobProgress(
            queries=job.num_queries,
            queries_done=job.queries_done,
            candidates=job.num_candidates,
            candidates_done=job.candidates_done,
        ),
        pruning=wire.Pruning(
            level=request.pruning_level,
            evaluated=job.candidates_done - job.candidates_unprovable - job.candidates_fallen_behind,
            unprovable=job.candidates_unprovable,
            fallen_behind=job.candidates_fallen_behind,
            steps=job.trajectory_steps,
            note=request.pruning_note,
        ),
        metrics=report,
        intervals=wire.read_answer(wire.IntervalReport, job.report_json)
        if job.report_json is not None and has_intervals
        else None,
        error=job.error,
        scoring=wire.Scoring("proof")
        if job.scoring_json is None
        else wire.read_answer(wire.Scoring, job.scoring_json),
        engine=job.engine,
        run=job.place.run,
        step=job.place.step,
        labels=job.place.labels,
    )


def ranking_answer(ranking: StoredRanking, ties: wire.Ties) -> wire.JobRanking:
    """A stored ranking as clients get it."""
    summary, ranks = ranking.summary, ranking.summary.ranks
    rank = ranks.by(ties)
    return wire.JobRanking(
        query_index=summary.query_index,
        head=ranking.head,
        relation=ranking.relation,
        tail=ranking.tail,
        side=summary.side,
        rank=rank,
        reciprocal_rank=1 / rank,
        ranks=wire.Ranks(
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
        corruptions_proved=summary.corruptions_proved_if_known,
        embedding_score=ranking.embedding_score,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
