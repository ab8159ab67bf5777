"""Jobs with many rankings, written into a data folder through the store, without ranking anything."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

from proofrank.core.ranking import PruningCounts, RankingSummary, Ranks, ReportTally
from proofrank.service.jobs.insertion import NewJob
from proofrank.service.jobs.job import StoredRanking
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.submission import write_body
from proofrank.service.storage.database import Database
from proofrank.service.wire import Identity, JobRequest

RELATIONS = tuple(f"_relation_{number}" for number in range(11))
NUM_CANDIDATES = 101


def rankings_of(num_queries: int, seed: int) -> list[StoredRanking]:
    """The rankings of a split on both sides; another seed gives about a third of them another rank."""
    rankings = []
    names, changes = random.Random(0), random.Random(seed)
    for index in range(num_queries):
        head, tail = f"{names.randrange(10**8):08}", f"{names.randrange(10**8):08}"
        relation = names.choice(RELATIONS)
        for side in ("head", "tail"):
            above = int(names.paretovariate(0.7)) - 1
            if changes.random() < 1 / 3:
                above += changes.choice((-2, -1, 1, 2, 5))
            above = min(max(above, 0), NUM_CANDIDATES - 1)
            proved = names.random() < 0.8
            log_probability = -changes.expovariate(1.0)
            rankings.append(
                StoredRanking(
                    *(head, relation, tail, log_probability - 100 * (not proved), log_probability),
                    steps=names.randrange(1, 8),
                    summary=RankingSummary(
                        *(
                            index,
                            side,
                            Ranks(above + 1, float(above + 1), above + 1, above + 1, NUM_CANDIDATES),
                        ),
                        is_proved=proved,
                        corruptions_proved=above,
                        seconds=0.001,
                    ),
                )
            )
    return rankings


def write_jobs(data_folder: Path, policies: list[Identity], dataset: Identity, num_queries: int) -> list[str]:
    """Writes a job for each policy, which ranks a test split of ``num_queries``; returns their ids."""
    database = Database.open(data_folder)
    try:
        return asyncio.run(_write(JobStore(database, lambda _: None), policies, dataset, num_queries))
    finally:
        database.close()


async def _write(store: JobStore, policies: list[Identity], dataset: Identity, num_queries: int) -> list[str]:
    body = write_body(JobRequest.model_validate({"split": "test", "corruptions": 100}))
    ids = []
    for seed, policy in enumerate(policies):
        await store.submit(NewJob(body, policy.name, policy.sha256, dataset, num_queries, None), 10)
        job = await store.begin_next()
        assert job is not None
        rankings = rankings_of(num_queries, seed)
        tally = ReportTally()
        for ranking in rankings:
            tally.add(ranking.relation, ranking.summary)
        report = json.dumps(tally.report(RELATIONS).to_dict())
        await store.set_num_candidates(job, len(rankings) * NUM_CANDIDATES)
        await store.add_chunk(
            job, rankings, num_queries, report, PruningCounts(unprovable=0, fallen_behind=0, steps=0)
        )
        await store.end(job, "done")
        ids.append(job.id)
    return ids
