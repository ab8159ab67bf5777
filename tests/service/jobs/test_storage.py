"""Jobs in this process: their chunks, their storage, their ends, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from proofrank.core.errors import MemoryShortError
from proofrank.core.graph import Dataset
from proofrank.core.ranking import Corruptor, PruningCounts, Query, corrupted_queries, sides_of
from proofrank.service.app import create_app
from proofrank.service.engine.lifecycle import READY
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.jobs import retry_until_ready
from proofrank.service.jobs.chunk_size import ChunkSizer
from proofrank.service.jobs.chunks import JobChunks
from proofrank.service.jobs.job import Job, JobError, StoredRanking
from proofrank.service.jobs.results import parquet_pieces
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.updates import JobUpdates, Update
from proofrank.service.policies.policy_files import load_named
from proofrank.service.services import Services
from proofrank.service.settings.settings import load_settings
from proofrank.service.storage.database import Database
from proofrank.service.storage.parquet import ParquetMissingError
from proofrank.service.web.listening import Listeners
from proofrank.service.web.server import Server
from proofrank.service.wire import JobOptions, JobState
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.job_client import many_queries
from tests.helpers.workshop import FaultyHost, Workshop, app_with_services, workshop


def without_seconds(report_json: str | None) -> Any:
    """Returns the report of a job without the values that differ between two runs."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: strip(item) for name, item in value.items() if name != "seconds"}
        return value

    return strip(json.loads(report_json or "null"))


def test_a_full_database_makes_a_job_wait_and_damages_nothing(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    def limit_pages(connection: sqlite3.Connection, more: int) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    async def fill() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            job = await place.submit(queries=many_queries(120), corruptions=2)
            await place.database.run(lambda connection: limit_pages(connection, 2))
            place.jobs.runner.start()
            while (waiting := await place.get(job)).error is None:
                await asyncio.sleep(0.01)
            assert waiting.state == "running"
            assert "database or disk is full" in waiting.error
            assert waiting.queries_done < 120
            rankings = await place.jobs.store.rankings(job, 0, 120)
            assert len({ranking.summary.query_index for ranking in rankings}) == waiting.queries_done
            await place.database.run(lambda connection: limit_pages(connection, 10_000))
            done = await place.ended(job)
            assert (done.state, done.error, done.queries_done) == ("done", None, 120)
            undisturbed = await place.ended(await place.submit(queries=many_queries(120), corruptions=2))
            assert without_seconds(done.report_json) == without_seconds(undisturbed.report_json)
            checked = await place.database.run(lambda c: c.execute("PRAGMA integrity_check").fetchall())
            assert checked == [("ok",)]

    asyncio.run(fill())


def test_a_job_whose_dataset_is_not_served_any_more_fails_and_the_next_one_runs(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    other_family = write_family(tmp_path / "other")
    with (other_family / "test.txt").open("a", encoding="utf-8") as file:
        file.write("parent(anna,ben).\n")
    other_policy = write_untrained_policy(tmp_path / "other-policy", other_family)

    async def restart() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            orphan = await place.submit(split="test")
        async with workshop(tmp_path / "data", other_family, other_policy) as place:
            place.jobs.runner.start()
            at_home = await place.submit(split="test")
            failed = await place.ended(orphan)
            assert failed.state == "failed"
            assert failed.error is not None
            assert failed.error.startswith(
                f"dataset 'family' with SHA-256 {orphan.dataset.sha256} is no longer served"
            )
            assert (await place.ended(at_home)).state == "done"

    asyncio.run(restart())


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Until it is undone, jobs store ranks once, and then wait until they are cancelled."""
    for name in ("add_chunk", "add_intervals"):
        original = getattr(JobStore, name)

        async def add(*arguments: Any, original: Callable[..., Any] = original) -> None:
            await original(*arguments)
            await asyncio.Event().wait()

        monkeypatch.setattr(JobStore, name, add)
    return monkeypatch


async def begun_job(place: Workshop, tolerance: float | None) -> Job:
    """A job of which some ranks are stored."""
    begun = await place.submit(queries=many_queries(40), corruptions="all", mrr_tolerance=tolerance)
    place.jobs.runner.start()
    while not (await place.get(begun)).queries_done:
        await asyncio.sleep(0.001)
    return begun


def test_a_job_that_has_stored_ranks_goes_on_by_the_prover_that_it_began_with_or_fails(
    tmp_path: Path, family_folder: Path, policy_folder: Path, stuck: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"

    async def restart() -> None:
        async with workshop(data, family_folder, policy_folder) as place:
            begun, waiting = await begun_job(place, None), await place.submit(split="test")
        stuck.undo()
        async with workshop(data, family_folder, policy_folder, max_depth=2) as place:
            place.jobs.runner.start()
            failed = await place.ended(begun)
            assert failed.state == "failed"
            assert failed.error == (
                "the server's prover has changed since the job began (max_depth is 2 and was 20), and all ranks of a "
                "job come from one: submit it again"
            )
            # What was stored stays, and what had not begun ranks by the prover of now.
            assert failed.queries_done
            assert (await place.ended(waiting)).state == "done"

    asyncio.run(restart())


def test_a_job_to_a_tolerance_starts_anew_by_another_prover(
    tmp_path: Path, family_folder: Path, policy_folder: Path, stuck: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"

    async def restart() -> None:
        async with workshop(data, family_folder, policy_folder) as place:
            begun = await begun_job(place, 0.0)
        stuck.undo()
        async with workshop(data, family_folder, policy_folder, max_depth=2) as place:
            place.jobs.runner.start()
            whole = await place.submit(queries=many_queries(40), corruptions="all", mrr_tolerance=0.0)
            anew, expected = [
                json.loads((await place.ended(job)).report_json or "")["intervals"] for job in (begun, whole)
            ]
            assert anew == expected

    asyncio.run(restart())


def test_a_job_submitted_while_a_policy_takes_the_place_of_the_live_one_pins_the_one_that_is_kept(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    newer = write_untrained_policy(tmp_path / "newer", family_folder, seed=1)

    async def submit_between() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            store, host = services.policies.store, services.host
            before = host.active_policy
            policy = load_named(newer, before.name)
            # In the order of an upload: first on the disk, where the old content is removed, and then in the host.
            store.put(newer, policy, live=True)
            assert host.active_policy is before
            answer = await client.post("/jobs", json={"split": "test"})
            await host.activate(policy)
            assert answer.json()["policy"] == {"name": before.name, "sha256": policy.content_hash}
            job_id = answer.json()["id"]
            while (job := (await client.get(f"/jobs/{job_id}")).json())["state"] in ("queued", "running"):
                await asyncio.sleep(0.01)
            assert (job["state"], job["error"]) == ("done", None)

    asyncio.run(submit_between())


def test_a_job_whose_policy_is_gone_fails_and_says_which(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    newer = write_untrained_policy(tmp_path / "newer", family_folder, seed=1)

    async def restart() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            job = await place.submit(split="test")
        shutil.rmtree(tmp_path / "data" / "policies" / job.policy.sha256)
        async with workshop(tmp_path / "data", family_folder, newer) as place:
            place.jobs.runner.start()
            failed = await place.ended(job)
            assert failed.state == "failed"
            assert failed.error is not None
            assert failed.error.startswith(f"policy 'untrained' with SHA-256 {job.policy.sha256}: ")

    asyncio.run(restart())


@pytest.mark.parametrize(("num_faults", "state"), [(2, "done"), (3, "failed")])
def test_a_fault_of_the_evaluator_is_tried_again_before_it_fails_the_job(
    tmp_path: Path, family_folder: Path, policy_folder: Path, num_faults: int, state: JobState
) -> None:
    async def run() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            place.host.num_faults = num_faults
            place.jobs.runner.start()
            job = await place.ended(await place.submit(split="test"))
            assert job.state == state
            assert job.error == ("evaluation failed: out of memory" if state == "failed" else None)
            assert (await place.ended(await place.submit(split="valid"))).state == "done"

    asyncio.run(run())


def test_a_chunk_that_comes_after_its_job_was_cancelled_is_not_stored(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    async def come_late() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            store = place.jobs.store
            await place.submit(split="test")
            job, rankings = await place.begun_with_one_query_ranked()
            cancelled = await store.end(job, "cancelled")
            assert await store.add_chunk(job, rankings, 1, "{}", PruningCounts()) is None
            assert await place.get(job) == cancelled
            assert await store.rankings(job, 0, 3) == []

    asyncio.run(come_late())


@pytest.mark.parametrize("body", [{"split": "test"}, {"queries": many_queries(2)}], ids=["split", "queries"])
def test_a_run_whose_job_is_removed_before_it_begins_leaves_nothing_and_is_no_failure(
    tmp_path: Path,
    family_folder: Path,
    policy_folder: Path,
    caplog: pytest.LogCaptureFixture,
    body: dict[str, Any],
) -> None:
    async def run_removed() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            store = place.jobs.store
            await place.submit(**body)
            job = await store.begin_next()
            assert job is not None
            removed = await store.remove(job.id)
            assert removed == job
            assert await store.remove(job.id) is None
            await place.jobs.runner._run(job)
            assert await store.get(job.id) is None
            assert await store.rankings(job, 0, 3) == []
            place.jobs.runner.start()
            assert (await place.ended(await place.submit(split="valid"))).state == "done"

    asyncio.run(run_removed())
    assert faults_in(caplog) == []


def test_a_run_whose_job_is_removed_while_it_counts_what_was_done_is_no_failure(
    tmp_path: Path,
    family_folder: Path,
    policy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = JobStore.rankings

    async def remove_and_read(store: JobStore, job: Job, start: int, stop: int) -> list[StoredRanking]:
        await store.remove(job.id)
        return await original(store, job, start, stop)

    monkeypatch.setattr(JobStore, "rankings", remove_and_read)

    async def run_removed() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            store = place.jobs.store
            await place.submit(split="test")
            job, rankings = await place.begun_with_one_query_ranked()
            begun = await store.add_chunk(job, rankings, 1, "{}", PruningCounts())
            assert begun is not None
            await place.jobs.runner._run(begun)

    caplog.set_level("INFO")
    asyncio.run(run_removed())
    assert [record.levelname for record in caplog.records if "has been removed" in record.message] == ["INFO"]
    assert faults_in(caplog) == []


Change = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


@asynccontextmanager
async def cancelled_while_it_is_written(
    monkeypatch: pytest.MonkeyPatch, database: Database, method: str, request: Awaitable[httpx.Response]
) -> AsyncIterator[None]:
    """Cancels ``request`` just before the database runs ``method`` of the store."""
    original = getattr(JobStore, method)
    is_asked = asyncio.Event()

    async def ask(*arguments: Any) -> Any:
        if not is_asked.is_set():
            # No transaction holds the lock for long.
            database._turn.acquire()
            is_asked.set()
        return await original(*arguments)

    monkeypatch.setattr(JobStore, method, ask)
    asking = asyncio.ensure_future(request)
    await asyncio.wait_for(is_asked.wait(), 30)
    asking.cancel()
    await asyncio.sleep(0.05)  # the cancellation reaches every depth while the database still waits
    database._turn.release()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 30)
    yield


@pytest.mark.parametrize(
    ("method", "ask"),
    [
        ("end", lambda client, job_id: client.post(f"/jobs/{job_id}/cancel")),
        ("remove", lambda client, job_id: client.delete(f"/jobs/{job_id}")),
    ],
    ids=["cancel", "delete"],
)
def test_what_is_asked_of_a_job_is_done_whole_where_its_client_goes(
    tmp_path: Path,
    family_folder: Path,
    policy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    ask: Change,
) -> None:
    async def go() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            jobs, database = services.jobs, services.database
            job_id = (
                await client.post("/jobs", json={"queries": many_queries(500), "pruning": "none"})
            ).json()["id"]
            while jobs.runner._current is None:
                await asyncio.sleep(0.01)
            running = jobs.runner._current[1]
            updates = jobs.updates.follow(job_id, jobs.store.get, anyio.Event())
            assert (await anext(updates)).job.state == "running"

            async def last_state() -> JobState:
                states: list[JobState] = [update.job.state async for update in updates]
                return states[-1]

            watching = asyncio.create_task(last_state())
            async with cancelled_while_it_is_written(monkeypatch, database, method, ask(client, job_id)):
                assert await asyncio.wait_for(watching, 30) == "cancelled"
                await asyncio.wait([running], timeout=30)
            assert running.cancelled()
            metrics = (await client.get("/metrics")).text
            assert 'proofrank_jobs{state="running"} 0.0' in metrics
            found = await jobs.store.get(job_id)
            assert (found.state if found is not None else None) == ("cancelled" if method == "end" else None)

    asyncio.run(go())


def test_a_job_that_was_stored_runs_where_its_client_goes(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            request = client.post("/jobs", json={"split": "test"})
            async with cancelled_while_it_is_written(monkeypatch, services.database, "submit", request):
                ends = asyncio.get_running_loop().time() + 30
                while not await services.jobs.store.newest(1, "done"):
                    assert asyncio.get_running_loop().time() < ends
                    await asyncio.sleep(0.01)

    asyncio.run(go())


def test_removing_a_job_that_has_ended_interrupts_nothing(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    async def remove() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            jobs = services.jobs
            job_id = (await client.post("/jobs", json={"split": "test"})).json()["id"]
            while (job := await jobs.store.get(job_id)) is None or not job.is_finished:
                await asyncio.sleep(0.01)
            while jobs.runner._current is not None:
                await asyncio.sleep(0.01)
            # As when the runner counts what it has done.
            counting = asyncio.create_task(asyncio.sleep(0.1))
            jobs.runner._current = (job, counting)
            assert (await client.delete(f"/jobs/{job_id}")).status_code == HTTPStatus.NO_CONTENT
            await asyncio.wait([counting])
            assert not counting.cancelled()
            jobs.runner._current = None

    asyncio.run(remove())


def test_a_job_that_is_removed_before_its_watcher_looks_ends_for_it_as_cancelled(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = JobUpdates.follow

    async def remove_and_follow(updates: JobUpdates, job_id: str, *arguments: Any) -> AsyncIterator[Update]:
        await services_of[0].jobs.store.remove(job_id)
        async for update in original(updates, job_id, *arguments):
            yield update

    services_of: list[Services] = []
    monkeypatch.setattr(JobUpdates, "follow", remove_and_follow)

    async def watch() -> str:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder) as (client, services):
            services_of.append(services)
            job_id = (
                await client.post("/jobs", json={"queries": many_queries(500), "pruning": "none"})
            ).json()["id"]
            return (await client.get(f"/jobs/{job_id}/events")).text

    events = [event.split("\r\n") for event in asyncio.run(watch()).strip().split("\r\n\r\n")]
    assert [event[0] for event in events] == ["event: progress", "event: end"]
    assert [json.loads(event[1].removeprefix("data: "))["state"] for event in events] == ["cancelled"] * 2


@pytest.mark.parametrize("path", ["results", "results.csv", "results.parquet"])
def test_a_download_breaks_off_where_its_job_is_removed_and_that_is_no_fault(
    tmp_path: Path,
    family_folder: Path,
    policy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    original = JobStore.rankings

    async def read_and_remove(store: JobStore, job: Job, start: int, stop: int) -> list[StoredRanking]:
        page = await original(store, job, start, stop)
        await store.remove(job.id)
        return page

    monkeypatch.setattr("proofrank.service.jobs.results._QUERIES_A_PAGE", 1)
    values = {
        "dataset": family_folder,
        "policy": policy_folder,
        "engine": "original",
        "data_folder": tmp_path,
    }
    settings = load_settings({**values, "port": 0}, environment={})

    async def download() -> None:
        app = create_app(settings)
        server = Server(app, settings, Listeners(settings), on_signal=lambda: None)
        serving = asyncio.create_task(server.serve())
        while not server.started or app.state.services.host.stage != READY:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            job_id = (await client.post("/jobs", json={"split": "test"})).json()["id"]
            while (await client.get(f"/jobs/{job_id}")).json()["state"] != "done":
                await asyncio.sleep(0.01)
            monkeypatch.setattr(JobStore, "rankings", read_and_remove)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"/jobs/{job_id}/{path}")
        server.should_exit = True
        await serving

    caplog.set_level("INFO")
    asyncio.run(download())
    assert [record.levelname for record in caplog.records if "breaks off" in record.message] == ["INFO"]
    assert faults_in(caplog) == []


def test_ended_jobs_are_kept_for_some_days_and_up_to_a_number(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    async def sweep() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            store = place.jobs.store
            jobs = [await place.submit(split="test") for _ in range(5)]
            for job in jobs[:4]:
                await store.end(job, "cancelled")
            old = "2020-01-01T00:00:00.000+00:00"
            await place.database.run(
                lambda c: c.execute("UPDATE jobs SET finished = ? WHERE id = ?", (old, jobs[2].id))
            )
            assert await store.sweep(days=30, most=10) == 1
            assert [job.id for job in await store.newest(10, None)] == [jobs[n].id for n in (4, 3, 1, 0)]
            assert await store.sweep(days=30, most=1) == 2
            assert [job.id for job in await store.newest(10, None)] == [jobs[4].id, jobs[3].id]

    asyncio.run(sweep())


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    async def ask() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            job = await place.submit(split="test")
            with pytest.raises(ParquetMissingError, match=r"pip install 'proofrank\[parquet\]'"):
                parquet_pieces(job, place.jobs.store)

    asyncio.run(ask())


def faults_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of errors and warnings."""
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


def as_plain(query: Query) -> tuple[Any, ...]:
    """A query with its constants as a list, for arrays have no single answer to ``==``."""
    return query.query_index, query.triple, query.side, query.constants.tolist()


@pytest.mark.parametrize("size", [1, 17, 40, 10_000])
def test_chunks_of_any_size_are_the_queries_of_the_whole(family: Dataset, size: int) -> None:
    work = JobChunks.of(
        JobOptions.model_validate({"split": "train", "corruptions": 3, "seed": 2}), None, family
    )
    chunks: list[Query] = []
    start = 0
    while start < len(work.triples):
        chunk = work.chunk(start, size)
        assert len({query.query_index for query in chunk}) == 1 or sum(map(num_candidates, chunk)) <= size
        chunks += chunk
        start = chunk[-1].query_index + 1
    corruptor = Corruptor(family, number=3, seed=2)
    whole = corrupted_queries(family.splits["train"], sides_of("both"), corruptor)
    assert list(map(as_plain, chunks)) == list(map(as_plain, whole))
    assert work.count_candidates(most=10) == sum(map(num_candidates, chunks))


def num_candidates(query: Query) -> int:
    """Returns the number of candidates of a query on one side."""
    return len(query.candidates)


def test_a_query_with_more_candidates_than_a_request_may_have_fails_before_anything_is_ranked(
    family: Dataset,
) -> None:
    work = JobChunks.of(JobOptions.model_validate({"split": "test", "corruptions": "all"}), None, family)
    with pytest.raises(JobError, match=r"query 0 has 15 candidates, and max_candidates is 10"):
        work.count_candidates(most=10)


def test_chunks_grow_while_they_are_quick_and_shrink_where_they_are_slow() -> None:
    pace = ChunkSizer(most_candidates=1000)
    sizes = []
    for seconds in (0.1, 0.1, 0.1, 0.5, 3.0, 3.0, 3.0):
        pace.took(seconds)
        sizes.append(pace.num_candidates)
    assert sizes == [512, 1000, 1000, 1000, 500, 256, 256]
    pace.took(0.1)
    pace.failed()
    assert pace.num_candidates == 256


def test_of_jobs_that_clients_submit_and_cancel_only_as_many_stay_as_may(
    tmp_path: Path, family_folder: Path, policy_folder: Path
) -> None:
    async def submit_and_cancel() -> None:
        async with app_with_services(tmp_path / "data", family_folder, policy_folder, max_ended_jobs=3) as (
            client,
            _,
        ):
            ids = []
            for _ in range(8):
                submitted = await client.post("/jobs", json={"queries": many_queries(500)})
                ids.append(submitted.json()["id"])
                assert (await client.post(f"/jobs/{ids[-1]}/cancel")).status_code == HTTPStatus.OK
            listed = (await client.get("/jobs")).json()["jobs"]
            # The last one has ended after the last submission.
            assert [job["id"] for job in listed] == ids[:3:-1]

    asyncio.run(submit_and_cancel())


def test_a_job_without_memory_for_long_fails_so_that_the_next_ones_are_ranked(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_until_ready, "MOST_SECONDS_WITHOUT_MEMORY", 0.0)
    rank = FaultyHost.rank

    async def run() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            is_first = True

            async def without_memory(host: FaultyHost, *arguments: Any, **options: Any) -> RankedBatch:
                nonlocal is_first
                if is_first:
                    is_first = False
                    raise MemoryShortError("buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free")
                return await rank(host, *arguments, **options)

            monkeypatch.setattr(FaultyHost, "rank", without_memory)
            first, second = [await place.submit(queries=many_queries(2), corruptions=2) for _ in range(2)]
            place.jobs.runner.start()
            failed, done = await place.ended(first), await place.ended(second)
            assert (failed.state, done.state) == ("failed", "done")
            assert (
                failed.error
                == "evaluation failed: buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free"
            )

    asyncio.run(run())


def test_a_job_whose_evaluator_was_ended_for_another_waits_for_memory(
    tmp_path: Path, family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank, seen = FaultyHost.rank, list[str | None]()

    async def run() -> None:
        async with workshop(tmp_path / "data", family_folder, policy_folder) as place:
            num_calls = 0

            async def without_memory(host: FaultyHost, *arguments: Any, **options: Any) -> RankedBatch:
                nonlocal num_calls
                num_calls += 1
                if num_calls in (2, 3):
                    seen.append((await place.get(job)).error)
                    raise MemoryShortError("buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free")
                return await rank(host, *arguments, **options)

            monkeypatch.setattr(FaultyHost, "rank", without_memory)
            job = await place.submit(queries=many_queries(120), corruptions=2)
            place.jobs.runner.start()
            ended = await place.ended(job)
            assert (ended.state, ended.error, ended.queries_done) == ("done", None, 120)
            assert seen == [
                None,
                "buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free; the job waits and will continue",
            ]

    asyncio.run(run())
