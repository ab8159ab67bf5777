"""What takes long is done off the event loop, and what waits for the database or for a turn holds up nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest

from proofrank.core.comparison import Comparison, compare_rankings
from proofrank.core.graph import Dataset
from proofrank.core.ranking import Query, RankedQuery, Scoring
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.jobs import comparison
from proofrank.service.jobs import results as job_results
from proofrank.service.jobs import run as job_run
from proofrank.service.jobs.job import StoredRanking
from proofrank.service.routes import jobs as job_routes
from tests.helpers.embeddings import write_distmult
from tests.helpers.job_client import many_queries
from tests.helpers.workshop import FaultyHost, app_with_services, workshop

MOST_SECONDS = 20.0
"""Time in which what must not wait is over, in seconds, also on a busy machine; never waited in full."""


def test_chunks_are_made_ready_for_the_database_off_the_event_loop(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()

    class Noted(StoredRanking):
        @classmethod
        def of(cls, ranked: RankedQuery, dataset: Dataset) -> StoredRanking:
            threads.add(threading.current_thread())
            return StoredRanking.of(ranked, dataset)

    monkeypatch.setattr(job_run, "StoredRanking", Noted)

    async def rank() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            place.jobs.runner.start()
            assert (await place.ended(await place.submit(split="test"))).state == "done"
            assert threads
            assert threading.current_thread() not in threads

    asyncio.run(rank())


@pytest.mark.parametrize("scoring", ["hybrid", "embedding"])
def test_an_embedding_scores_off_the_event_loop_however_few_candidates_there_are(
    scoring: str,
    tmp_path: Path,
    family: Dataset,
    family_folder: Path,
    policy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[threading.Thread] = set()
    embedding_scores = Scoring.embedding_scores

    def noted(of: Scoring, triples: np.ndarray) -> np.ndarray:
        threads.add(threading.current_thread())
        return embedding_scores(of, triples)

    monkeypatch.setattr(Scoring, "embedding_scores", noted)
    embedding = write_distmult(tmp_path / "distmult", family)

    async def rank() -> None:
        async with app_with_services(
            tmp_path / "data", family_folder, policy_folder, embedding=embedding
        ) as (client, services):
            asked = {"queries": many_queries(2), "corruptions": 2, "scoring": scoring}
            for options in ({}, {"mrr_tolerance": 0.1}):
                answer = await client.post("/rank", json={**asked, **options})
                assert answer.status_code == HTTPStatus.OK, answer.text
                job = await client.post("/jobs", json={**asked, **options})
                while not (found := await services.jobs.store.get(job.json()["id"])) or not found.is_finished:
                    await asyncio.sleep(0.01)
                assert found.state == "done", found.error
            assert threads
            assert threading.current_thread() not in threads

    asyncio.run(rank())


def test_the_time_of_an_embedding_keeps_chunks_small(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    rank = FaultyHost.rank

    async def slow(host: FaultyHost, queries: Sequence[Query], seed: int, **options: Any) -> RankedBatch:
        numbers.append(sum(query.num_candidates for query in queries))
        return dataclasses.replace(await rank(host, queries, seed, **options), scoring_seconds=60.0)

    monkeypatch.setattr(FaultyHost, "rank", slow)

    async def run() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            place.jobs.runner.start()
            job = await place.ended(await place.submit(queries=many_queries(400), corruptions=1))
            assert job.state == "done"
            assert max(numbers) <= 256

    asyncio.run(run())


def test_lists_of_jobs_and_results_are_written_off_the_event_loop(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            threads.add(threading.current_thread())
            return function(*arguments)

        return noted

    monkeypatch.setattr(job_routes, "job_answer", noting(job_routes.job_answer))
    monkeypatch.setattr(job_results, "ranking_answer", noting(job_results.ranking_answer))

    async def read() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            job = (await client.post("/jobs", json={"split": "test"})).json()
            while not (found := await services.jobs.store.get(job["id"])) or not found.is_finished:
                await asyncio.sleep(0.01)
            threads.clear()
            (listed,) = (await client.get("/jobs")).json()["jobs"]
            results = (await client.get(f"/jobs/{job['id']}/results")).json()
            assert listed == results["job"]
            assert len(results["rankings"]) == 6
            assert threads
            assert threading.current_thread() not in threads

    asyncio.run(read())


def test_a_long_transaction_holds_up_no_request_that_needs_no_database(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def long(_: sqlite3.Connection) -> None:
        has_begun.set()
        assert may_end.wait(MOST_SECONDS)

    async def ask() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            running = asyncio.create_task(services.database.run(long))
            while not has_begun.is_set():
                await asyncio.sleep(0.01)
            listing = [asyncio.create_task(client.get("/jobs")) for _ in range(40)]
            await asyncio.sleep(0)
            # So many candidates that workers draw and rank them.
            answer = await client.post("/rank", json={"queries": many_queries(40), "corruptions": 50})
            assert answer.status_code == HTTPStatus.OK
            assert not running.done(), "the request has waited for the database"
            assert not any(listed.done() for listed in listing)
            may_end.set()
            for listed in await asyncio.gather(*listing):
                assert listed.status_code == HTTPStatus.OK

    asyncio.run(ask())


def test_a_comparison_whose_client_has_gone_is_not_computed(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_go_on, num_computed = threading.Event(), threading.Event(), 0

    def held(*arguments: Any, **options: Any) -> Comparison:
        nonlocal num_computed
        num_computed += 1
        has_begun.set()
        assert may_go_on.wait(MOST_SECONDS)
        return compare_rankings(*arguments, **options)

    monkeypatch.setattr(comparison, "compare_rankings", held)

    async def compare() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            ids = []
            for _ in range(2):
                ids.append((await client.post("/jobs", json={"split": "test"})).json()["id"])
                while not (job := await services.jobs.store.get(ids[-1])) or not job.is_finished:
                    await asyncio.sleep(0.01)
            query = {"a": ids[0], "b": ids[1]}
            stays = asyncio.create_task(client.get("/compare", params=query))
            assert await asyncio.to_thread(has_begun.wait, MOST_SECONDS)
            # The transport's client never goes; this one does at once.
            gone = asyncio.create_task(ask_and_go(client, f"/compare?{urlencode(query)}"))
            async with asyncio.timeout(MOST_SECONDS):
                await gone
            may_go_on.set()
            assert (await stays).status_code == HTTPStatus.OK
            assert num_computed == 1

    asyncio.run(compare())


async def ask_and_go(client: httpx.AsyncClient, address: str) -> None:
    """Asks the application behind ``client``, and goes once it has the request."""
    path, _, query = address.partition("?")
    messages = iter(({"type": "http.request", "body": b"", "more_body": False},))

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "scheme": "http",
        "server": ("proofrank", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)
