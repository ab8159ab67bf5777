"""``/jobs``: a split is ranked in the background, with the same numbers as by ``/rank``."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from proofrank.service.policies.policy_files import PARTS
from tests.helpers.answers import without_time
from tests.helpers.family import TEST, write_untrained_policy
from tests.helpers.job_client import ended, get, many_queries, results, submit, with_progress
from tests.helpers.serving import RunningServer

MAX_JOBS = 3
MAX_JOB_QUERIES = 500
LONG = many_queries(MAX_JOB_QUERIES)
"""About six seconds of work; no test waits for its end."""

SPLIT = [
    {"relation": match[1], "head": match[2], "tail": match[3]}
    for match in re.finditer(r"(\w+)\((.+),(.+)\)\.", "\n".join(TEST))
]
"""The test split of the family, as queries of ``/rank``."""


@pytest.fixture(scope="module")
def server(serve_arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with limits on jobs that a test can reach."""
    limits = ("--max-jobs", str(MAX_JOBS), "--max-job-queries", str(MAX_JOB_QUERIES))
    folder = tmp_path_factory.mktemp("jobs")
    with RunningServer(*serve_arguments, *limits, "--data-folder", str(folder)) as running:
        yield running.wait_until_ready()


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of that server, which ends all unfinished jobs."""
    yield server.client
    for state in ("queued", "running"):
        for job in server.client.get("/jobs", params={"state": state}).json()["jobs"]:
            server.client.delete(f"/jobs/{job['id']}")


def rankings_asked(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rankings of an answer of ``/rank`` in the form of a job's."""
    return [
        {
            "query_index": index,
            "head": query["head"],
            "relation": query["relation"],
            "tail": query["tail"],
            **ranking,
        }
        for index, query in enumerate(
            without_keys(
                answer["queries"], ("num_filtered", "candidates", "proof", "proofs", "embedding_part")
            )
        )
        for ranking in query["rankings"]
    ]


def rankings_found(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """Returns the rankings of a job, without the fields that ``/rank`` lacks."""
    return without_keys(results(client, job_id)["rankings"], ("corruptions_proved",))


def without_keys(value: Any, names: tuple[str, ...]) -> Any:
    """Returns ``value`` without the keys ``names`` at any depth."""
    if isinstance(value, dict):
        return {name: without_keys(item, names) for name, item in value.items() if name not in names}
    return [without_keys(item, names) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"corruptions": "all", "filtered": False, "side": "tail", "ties": "optimistic"},
        {"corruptions": 3, "seed": 7, "ties": "random", "side": "head"},
    ],
)
def test_a_job_of_a_split_ends_with_the_ranks_and_metrics_of_a_request_for_its_triples(
    client: httpx.Client, options: dict[str, Any]
) -> None:
    asked = client.post("/rank", json={"queries": SPLIT, **options}).json()
    job = ended(client, submit(client, split="test", **options)["id"])
    assert job["state"] == "done"
    assert without_time(job["metrics"]) == without_time(asked["metrics"])
    assert results(client, job["id"])["job"] == job
    assert rankings_found(client, job["id"]) == rankings_asked(asked)
    candidates = asked["metrics"]["candidates"]
    assert job["progress"] == {
        "queries": 3,
        "queries_done": 3,
        "candidates": candidates,
        "candidates_done": candidates,
    }


def test_a_job_of_sent_queries_ranks_them_in_their_order_whatever_chunks_they_fall_into(
    client: httpx.Client,
) -> None:
    queries = many_queries(48)
    asked = client.post("/rank", json={"queries": queries[:4], "corruptions": 2, "ties": "random"}).json()
    job = ended(client, submit(client, queries=queries, ties="random", corruptions=2)["id"])
    found = rankings_found(client, job["id"])
    assert [ranking.pop("query_index") for ranking in found] == sorted(
        [*range(48), *(index for index in range(48) if "side" not in queries[index])]
    )
    expected = without_keys(rankings_asked(asked), ("query_index",))
    assert found == 12 * expected
    assert job["metrics"]["mrr"] == pytest.approx(asked["metrics"]["mrr"])
    assert job["metrics"]["queries"] == 48


def test_a_limit_ranks_a_sample_of_the_split_that_depends_on_the_seed_alone(client: httpx.Client) -> None:
    def sample(seed: int) -> tuple[str, ...]:
        job = ended(client, submit(client, split="train", limit=3, seed=seed, corruptions=1)["id"])
        found = results(client, job["id"])["rankings"]
        return tuple(ranking["head"] + ranking["tail"] for ranking in found if ranking["side"] == "head")

    samples = [sample(seed) for seed in range(4)]
    assert all(len(set(drawn)) == 3 for drawn in samples)
    assert len(set(samples)) > 1
    assert sample(0) == samples[0]


def test_a_submitted_job_says_where_it_is_and_what_it_was_asked(client: httpx.Client, family: Any) -> None:
    answer = client.post("/jobs", json={"split": "test", "seed": 5, "corruptions": 1})
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["request"] == {
        "split": "test",
        "side": "both",
        "corruptions": 1,
        "filtered": True,
        "seed": 5,
        "ties": "realistic",
        "pruning": None,
        "policy": None,
        "policy_sha256": None,
        "limit": None,
    }
    assert job["dataset"] == {"name": "family", "sha256": family.content_hash}
    assert job["policy"]["name"] == "untrained"
    job = ended(client, job["id"])
    assert job["created"] <= job["started"] <= job["finished"]
    assert job["created"].endswith("Z")


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the server-sent events in ``lines``, each as its name and job."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_events_tell_the_progress_until_the_end(client: httpx.Client) -> None:
    job_id = submit(client, queries=many_queries(100), pruning="none")["id"]
    with client.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = list(events_of(stream.iter_lines()))
    assert {name for name, _ in events[:-1]} == {"progress"}
    assert events[-1] == ("end", get(client, job_id))
    assert events[-1][1]["state"] == "done"
    done = [job["progress"]["queries_done"] for _, job in events]
    assert done == sorted(done)
    assert len(set(done)) > 3
    for _, job in events:
        assert (job["metrics"] is None) == (job["progress"]["queries_done"] == 0)
        if job["metrics"] is not None:
            assert job["metrics"]["queries"] == job["progress"]["queries_done"]
            assert job["metrics"]["candidates"] == job["progress"]["candidates_done"]


def test_many_may_watch_and_each_is_told_of_the_end(client: httpx.Client, server: RunningServer) -> None:
    job_id = submit(client, queries=LONG, pruning="none")["id"]

    async def watch(watcher: httpx.AsyncClient, all_watch: asyncio.Barrier) -> tuple[str, dict[str, Any]]:
        async with watcher.stream("GET", f"/jobs/{job_id}/events") as stream:
            assert stream.status_code == 200
            await all_watch.wait()
            lines = [line async for line in stream.aiter_lines()]
        return list(events_of(iter(lines)))[-1]

    async def watch_together() -> list[tuple[str, dict[str, Any]]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=server.url, timeout=60, limits=limits, trust_env=False
        ) as watcher:
            all_watch = asyncio.Barrier(60 + 1)
            watching = [asyncio.create_task(watch(watcher, all_watch)) for _ in range(60)]
            await all_watch.wait()
            assert (await watcher.delete(f"/jobs/{job_id}")).status_code == 204
            return await asyncio.gather(*watching)

    for name, job in asyncio.run(watch_together()):
        assert name == "end"
        assert job["state"] == "cancelled"


def test_a_table_has_a_row_for_each_query_and_side(client: httpx.Client) -> None:
    job_id = ended(client, submit(client, split="test")["id"])["id"]
    answer = client.get(f"/jobs/{job_id}/results.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    expected = results(client, job_id)["rankings"]
    assert len(rows) == len(expected) == 6
    for row, ranking in zip(rows, expected, strict=True):
        for name in ("head", "relation", "tail", "side"):
            assert row[name] == ranking[name]
        for ties in ("optimistic", "realistic", "pessimistic", "random"):
            assert float(row[f"rank_{ties}"]) == ranking["ranks"][ties]
        for name in ("query_index", "rank", "score", "log_probability", "steps", "num_candidates"):
            assert float(row[name]) == ranking[name]
        assert float(row["corruptions_proved"]) == ranking["corruptions_proved"]
        assert row["proved"] == str(ranking["proved"])


def test_parquet_has_the_rows_of_the_table(client: httpx.Client) -> None:
    job_id = ended(client, submit(client, split="test")["id"])["id"]
    answer = client.get(f"/jobs/{job_id}/results.parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job_id}/results.csv").text)))
    assert [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in table.to_pylist()
    ] == rows


def test_the_same_key_and_body_give_the_same_job(client: httpx.Client) -> None:
    first = client.post("/jobs", json={"split": "test", "seed": 1}, headers={"Idempotency-Key": "again"})
    assert first.status_code == 202
    ended(client, first.json()["id"])
    body = '{"seed": 1,   "split": "test"}'
    again = client.post(
        "/jobs", content=body, headers={"Idempotency-Key": "again", "Content-Type": "application/json"}
    )
    assert again.status_code == 200
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == get(client, first.json()["id"])
    assert client.post("/jobs", json={"split": "test", "seed": 1}).json()["id"] != first.json()["id"]


def test_one_key_submitted_many_times_at_once_makes_one_job(client: httpx.Client) -> None:
    def ask(_: int) -> httpx.Response:
        return client.post("/jobs", json={"split": "test"}, headers={"Idempotency-Key": "at-once"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [202]


def test_a_key_with_another_body_is_refused(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "taken"}
    assert client.post("/jobs", json={"split": "test"}, headers=headers).status_code == 202
    refused = client.post("/jobs", json={"split": "valid"}, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "Idempotency-Key"
    assert "another body" in refused.json()["detail"]


def test_a_running_job_is_cancelled_and_keeps_what_it_had_done(client: httpx.Client) -> None:
    job_id = submit(client, queries=LONG, pruning="none")["id"]
    with_progress(client, job_id)
    cancelled = client.post(f"/jobs/{job_id}/cancel")
    assert cancelled.status_code == 200
    job = cancelled.json()
    assert job["state"] == "cancelled"
    assert job["finished"] is not None
    assert 0 < job["progress"]["queries_done"] < MAX_JOB_QUERIES
    # The next job runs at once, so the one before has stopped; its finished part is kept.
    assert ended(client, submit(client, split="test")["id"])["state"] == "done"
    assert get(client, job_id) == job
    kept = results(client, job_id)["rankings"]
    assert kept[-1]["query_index"] == job["progress"]["queries_done"] - 1
    reciprocals = [ranking["reciprocal_rank"] for ranking in kept]
    assert job["metrics"]["mrr"] == pytest.approx(sum(reciprocals) / len(reciprocals))


def test_a_job_is_removed_whether_it_waits_or_runs_or_has_ended(
    client: httpx.Client, server: RunningServer
) -> None:
    done = ended(client, submit(client, split="valid")["id"])["id"]
    running, waiting = (submit(client, queries=LONG, pruning="none")["id"] for _ in range(2))
    with_progress(client, running)
    for job_id in (done, waiting, running):
        removed = client.delete(f"/jobs/{job_id}")
        assert (removed.status_code, removed.content) == (204, b"")
        for path in ("", "/events", "/results", "/results.csv", "/results.parquet"):
            missing = client.get(f"/jobs/{job_id}{path}")
            assert missing.status_code == 404
            assert missing.headers["content-type"] == "application/problem+json"
        assert client.delete(f"/jobs/{job_id}").status_code == 404
        assert client.post(f"/jobs/{job_id}/cancel").status_code == 404
    # The next job runs at once, so the one before has stopped; a removal is not a failure.
    assert ended(client, submit(client, split="test")["id"])["state"] == "done"
    listed = {job["id"] for job in client.get("/jobs", params={"limit": 100}).json()["jobs"]}
    assert not listed & {done, running, waiting}
    assert f"job {running} failed" not in server.log
    assert f"fault in job {running}" not in server.log


def test_a_key_is_free_again_when_its_job_has_been_removed_while_it_ran(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "removed"}
    first = client.post("/jobs", json={"queries": LONG, "pruning": "none"}, headers=headers).json()["id"]
    assert client.delete(f"/jobs/{first}").status_code == 204
    second = client.post("/jobs", json={"split": "test"}, headers=headers)
    assert second.status_code == 202
    assert second.json()["id"] != first


def test_cancelling_never_removes_a_job_however_often_it_is_asked_for(client: httpx.Client) -> None:
    running, waiting = (submit(client, queries=LONG, pruning="none")["id"] for _ in range(2))
    for job_id in (running, waiting):
        cancelled = client.post(f"/jobs/{job_id}/cancel")
        assert cancelled.status_code == 200
        assert cancelled.json()["state"] == "cancelled"
        again = client.post(f"/jobs/{job_id}/cancel")
        assert (again.status_code, again.json()) == (200, cancelled.json())
        assert get(client, job_id) == cancelled.json()
    done = ended(client, submit(client, split="test")["id"])
    assert client.post(f"/jobs/{done['id']}/cancel").json() == done
    assert len(results(client, done["id"])["rankings"]) == 6
    assert client.post("/jobs/nothing/cancel").status_code == 404


def test_jobs_run_in_the_order_of_submission_and_a_waiting_one_can_be_cancelled(client: httpx.Client) -> None:
    first, second, third = (
        submit(client, queries=many_queries(30), seed=seed, pruning="none")["id"] for seed in range(3)
    )
    cancelled = client.post(f"/jobs/{second}/cancel").json()
    assert (cancelled["state"], cancelled["started"]) == ("cancelled", None)
    assert results(client, second)["rankings"] == []
    last = ended(client, third)
    assert get(client, first)["finished"] <= last["started"]
    assert get(client, second) == cancelled


def test_too_many_unfinished_jobs_are_refused_until_one_ends(client: httpx.Client) -> None:
    ids = [submit(client, queries=LONG, pruning="none")["id"] for _ in range(MAX_JOBS)]
    refused = client.post("/jobs", json={"split": "test"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert f"max_jobs is {MAX_JOBS}" in refused.json()["detail"]
    assert client.delete(f"/jobs/{ids[0]}").status_code == 204
    submit(client, split="test")


def test_jobs_are_listed_newest_first_and_by_state(client: httpx.Client) -> None:
    ids = [ended(client, submit(client, split="valid")["id"])["id"] for _ in range(2)]
    waiting = submit(client, queries=LONG, pruning="none")["id"]

    def listed(**parameters: Any) -> list[str]:
        return [job["id"] for job in client.get("/jobs", params=parameters).json()["jobs"]]

    assert listed(limit=3) == [waiting, ids[1], ids[0]]
    assert listed(limit=2, state="done") == [ids[1], ids[0]]
    assert client.get("/jobs", params={"limit": 101}).status_code == 422
    assert client.get("/jobs", params={"state": "lost"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"split": "test", "queries": LONG[:1]}, "body", "expected either 'split' or 'queries'"),
        ({}, "body", "expected either 'split' or 'queries'"),
        ({"queries": LONG[:1], "limit": 3}, "body", "'limit' applies to splits"),
        ({"split": "tests"}, "split", "'train', 'valid' or 'test'"),
        ({"split": "test", "limit": 0}, "limit", "greater than or equal to 1"),
        ({"split": "test", "policy": "other"}, "policy", "no policy is called 'other'"),
        ({"split": "test", "policy": "../other"}, "policy", "match pattern"),
        ({"split": "test", "corruptions": -1}, "corruptions", "expected a whole number, 0 or more, or 'all'"),
        ({"queries": [*LONG, *LONG[:1]]}, "queries", f"max_job_queries is {MAX_JOB_QUERIES}"),
        ({"queries": [*LONG[:2], {**LONG[0], "tail": "Zoe"}]}, "queries[2].tail", "unknown constant"),
        ({"split": "test", "return_proof": True}, "return_proof", "no such field"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused_when_it_is_submitted(
    client: httpx.Client, body: dict[str, Any], field: str, message: str
) -> None:
    before = client.get("/jobs").json()
    refused = client.post("/jobs", json=body)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    (error,) = refused.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]
    assert client.get("/jobs").json() == before


def test_an_unknown_field_is_refused_with_the_nearest_of_a_job(client: httpx.Client) -> None:
    refused = client.post("/jobs", json={"splt": "test"})
    assert refused.json()["errors"][0]["nearest"] == ["split"]
    refused = client.post("/jobs", json={"queries": [{**LONG[0], "sid": "head"}]})
    assert refused.json()["errors"][0]["nearest"] == ["side"]


@pytest.mark.parametrize("key", ["", "with space", "x" * 256])
def test_a_key_that_is_not_one_is_refused(client: httpx.Client, key: str) -> None:
    refused = client.post("/jobs", json={"split": "test"}, headers={"Idempotency-Key": key})
    assert refused.status_code == 422
    assert "1 to 255 printable" in refused.json()["errors"][0]["message"]


def test_a_job_is_found_by_its_key_after_its_policy_has_been_deleted(
    client: httpx.Client, family_folder: Path, tmp_path: Path
) -> None:
    files = upload_of(write_untrained_policy(tmp_path / "passing", family_folder, seed=3))
    assert client.put("/policies/passing", files=files).status_code == 201
    body, headers = {"split": "test", "policy": "passing"}, {"Idempotency-Key": "of-a-policy"}
    job = ended(client, client.post("/jobs", json=body, headers=headers).json()["id"])
    assert client.delete("/policies/passing").status_code == 204
    again = client.post("/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, job)
    assert client.post("/jobs", json=body).status_code == 422


def upload_of(folder: Path) -> dict[str, bytes]:
    """Returns the files of a checkpoint for an upload."""
    return {part.field: (folder / part.file).read_bytes() for part in PARTS}


def test_a_job_keeps_the_policy_that_was_live_when_it_was_submitted(
    client: httpx.Client, family_folder: Path, tmp_path: Path
) -> None:
    files = upload_of(write_untrained_policy(tmp_path / "other", family_folder, seed=1))
    running = submit(client, queries=many_queries(60), pruning="none")
    before = ended(client, submit(client, queries=many_queries(4))["id"])
    assert client.put("/policies/other", files=files, params={"activate": True}).status_code == 201
    first = submit(client, queries=many_queries(80), policy="untrained", pruning="none")
    second = submit(client, queries=many_queries(4))
    refused = client.delete("/policies/other")
    assert refused.status_code == 409
    assert client.post("/policies/untrained/activate").status_code == 200
    assert client.delete("/policies/other").status_code == 409  # a waiting job needs it
    after = ended(client, second["id"])
    assert ended(client, running["id"])["policy"] == before["policy"] == ended(client, first["id"])["policy"]
    assert after["policy"]["name"] == "other"

    def scores(job: dict[str, Any]) -> list[float]:
        return [ranking["score"] for ranking in results(client, job["id"])["rankings"]]

    assert scores(first)[:6] == scores(before)
    assert scores(after) != scores(before)
    assert client.delete("/policies/other").status_code == 204


def test_the_metrics_count_jobs_and_show_the_mrr_of_the_last_that_was_done(client: httpx.Client) -> None:
    def metric(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).rsplit(" ", 1)[1])

    done, chunks = metric('proofrank_jobs{state="done"}'), metric("proofrank_job_chunks_total")
    durations = metric("proofrank_job_duration_seconds_count")
    job = ended(client, submit(client, split="test", ties="pessimistic")["id"])
    assert metric('proofrank_jobs{state="done"}') == done + 1
    assert metric('proofrank_jobs{state="running"}') == 0
    assert metric("proofrank_job_chunks_total") == chunks + 1
    assert metric("proofrank_job_duration_seconds_count") == durations + 1
    assert metric("proofrank_job_mrr") == job["metrics"]["mrr"]
