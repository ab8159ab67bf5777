"""Jobs with ``mrr_tolerance``: intervals that hold the exact values, also after a kill and beside requests."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.service.client import Client, ClientError, IntervalJobResult, InvalidRequestError
from proofrank.service.storage.database import DATABASE_FILE
from tests.helpers.answers import rank, refusal, without_time
from tests.helpers.family import write_untrained_policy
from tests.helpers.intervals import assert_metrics_hold, assert_ranks_hold, write_chain
from tests.helpers.job_client import ended, get, many_queries, results, submit
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

LARGE: dict[str, Any] = {"split": "test", "corruptions": "all", "mrr_tolerance": 0.003}
"""A job on the chain that takes some seconds, in several parts."""

NUM_WITHOUT_TRAJECTORIES = 1500
"""Number of candidates of that job, above that of positives and of those without a proof."""


@pytest.fixture(scope="module")
def chain_arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What serves a graph on which a job is done in several parts."""
    folder = write_chain(tmp_path_factory.mktemp("chain") / "chain", length=80)
    policy = write_untrained_policy(folder.parent / "policy", folder)
    return ["--dataset", str(folder), "--policy", str(policy), "--engine", "eager"]


def done(client: httpx.Client, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job that is done, and its results."""
    job = ended(client, submit(client, **body)["id"])
    assert job["state"] == "done", job
    return job, results(client, job["id"])


@pytest.mark.parametrize("ties", ["realistic", "random"])
@pytest.mark.parametrize("tolerance", [0.2, 0.03, 0])
def test_the_exact_values_lie_inside(client: httpx.Client, ties: str, tolerance: float) -> None:
    body = {"queries": many_queries(24), "corruptions": "all", "ties": ties, "seed": 2}
    exact, ranked = done(client, **body)

    job, found = done(client, **body, mrr_tolerance=tolerance)

    assert (job["metrics"], exact["intervals"]) == (None, None)
    assert (found["rankings"], ranked["rank_intervals"]) == ([], None)
    assert_metrics_hold(job["intervals"], exact["metrics"])
    assert_ranks_hold(found["rank_intervals"], ranked["rankings"])
    for interval, ranking in zip(found["rank_intervals"], ranked["rankings"], strict=True):
        for name in ("query_index", "head", "relation", "tail"):
            assert interval[name] == ranking[name]
    low, high = job["intervals"]["intervals"]["mrr"]
    assert high - low <= 2 * tolerance
    assert (tolerance > 0) or (job["intervals"]["mrr"] == exact["metrics"]["mrr"])
    assert job["request"]["mrr_tolerance"] == tolerance
    progress, pruning = job["progress"], job["pruning"]
    assert progress["queries_done"] == 24
    assert progress["candidates"] == exact["progress"]["candidates"]
    assert progress["candidates_done"] == progress["candidates"] - job["intervals"]["open"]
    assert pruning["level"] == "ranks"
    assert (
        pruning["evaluated"] + pruning["unprovable"] + pruning["fallen_behind"] == progress["candidates_done"]
    )


def test_the_intervals_are_those_of_a_request(client: httpx.Client) -> None:
    options = {"corruptions": "all", "mrr_tolerance": 0.05, "seed": 1}
    queries = many_queries(8)
    answer = rank(client, queries, **options)

    job, _ = done(client, queries=queries, **options)

    assert without_time(job["intervals"]) == without_time(answer["metrics"])
    assert job["pruning"]["steps"] == answer["pruning"]["steps"]


def test_tables_have_the_ends_of_the_ranks(client: httpx.Client) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    job, found = done(client, split="train", corruptions="all", mrr_tolerance=0.1)

    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job['id']}/results.csv").text)))
    table = pyarrow.read_table(io.BytesIO(client.get(f"/jobs/{job['id']}/results.parquet").content))

    assert table.to_pylist() == found["rank_intervals"]
    assert [float(row["rank_high"]) for row in rows] == [
        ranking["rank_high"] for ranking in found["rank_intervals"]
    ]
    assert list(rows[0]) == table.schema.names


def test_a_comparison_says_that_it_needs_exact_ranks(client: httpx.Client, server: RunningServer) -> None:
    exact, _ = done(client, split="test")
    job, _ = done(client, split="test", mrr_tolerance=0.1)

    refused = refusal(client.get("/compare", params={"a": exact["id"], "b": job["id"]}))

    (error,) = refused["errors"]
    assert (error["field"], error["value"]) == ("b", job["id"])
    assert "submit the job without mrr_tolerance" in error["message"]
    with Client(server.url) as speaker, pytest.raises(InvalidRequestError, match="exact ranks"):
        speaker.compare(job["id"], exact["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mrr_tolerance": -1}, "greater than or equal to 0"),
        ({"mrr_tolerance": "0.1"}, "valid number"),
        ({"mrr_tolerance": 0.1, "pruning": "none"}, "expected 'exact' or 'ranks'"),
    ],
)
def test_what_is_no_tolerance_is_refused(client: httpx.Client, options: dict[str, Any], message: str) -> None:
    assert message in refusal(client.post("/jobs", json={"split": "test", **options}))["detail"]


def test_a_key_tells_tolerances_apart(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "tolerance"}
    first = client.post("/jobs", json={"split": "test", "mrr_tolerance": 0.1}, headers=headers)
    again = client.post("/jobs", json={"split": "test", "mrr_tolerance": 0.1}, headers=headers)
    other = client.post("/jobs", json={"split": "test", "mrr_tolerance": 0.2}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
    assert again.json()["id"] == first.json()["id"]


def test_the_client_gives_intervals_of_jobs_and_of_runs(server: RunningServer, policy_folder: Path) -> None:
    with Client(server.url) as speaker:
        uploaded = speaker.upload_policy("to-tolerance", policy_folder, run="to-tolerance", step=1)
        exact = speaker.evaluate("train", corruptions="all", policy=uploaded, progress=False)
        found = speaker.evaluate(
            "train", corruptions="all", policy=uploaded, mrr_tolerance=0.05, progress=False
        )
        waited = speaker.wait(found.job.id, progress=False)
        (step,) = speaker.run("to-tolerance").steps
    interval = found.intervals.intervals["mrr"]
    assert interval is not None
    assert interval[0] <= exact.metrics.mrr <= interval[1]
    run = server.client.get("/runs/to-tolerance", params={"intervals": "true"}).json()
    first, second = run["steps"][0]["jobs"]
    assert first["mrr_interval"] is not None
    assert second["mrr_interval"] is None
    assert isinstance(waited, IntervalJobResult)
    assert waited == found
    with pytest.raises(ClientError, match=r"read result\.intervals"):
        _ = found.metrics
    assert [(job.metrics is None, job.intervals is None) for job in step.jobs] == [
        (False, True),
        (True, False),
    ]
    assert step.jobs[1].intervals is not None
    assert step.jobs[1].intervals.intervals["mrr"] == interval
    pytest.importorskip("pandas")
    frame = found.to_frame()
    assert len(frame) == len(exact.to_frame())
    assert {"query_index", "rank_low", "rank_high", "open"} <= set(frame.columns)


def test_the_metrics_show_the_ends_of_an_mrr_and_what_was_left_open(client: httpx.Client) -> None:
    before = scrape(client)
    job, _ = done(client, queries=many_queries(24), corruptions="all", mrr_tolerance=0.45, seed=5)
    samples = scrape(client)
    assert growth(before, samples, "proofrank_open_candidates_total") == job["intervals"]["open"] > 0
    labels = (("policy", job["policy"]["name"]), ("sha256", job["policy"]["sha256"]), ("split", "queries"))
    low, high = job["intervals"]["intervals"]["mrr"]
    assert samples["proofrank_policy_job_mrr_low", labels] == low
    assert samples["proofrank_policy_job_mrr_high", labels] == high
    assert (("proofrank_policy_job_mrr", labels) in samples) == (low == high)


@pytest.fixture(scope="module")
def undisturbed(
    chain_arguments: list[str],
) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """The large job, its results, and its metrics without a tolerance, from a server that nobody disturbs."""
    with RunningServer(*chain_arguments) as server:
        client = server.wait_until_ready().client
        job, found = done(client, **LARGE)
        exact, ranked = done(client, split="test", corruptions="all")
        assert_metrics_hold(job["intervals"], exact["metrics"])
        assert_ranks_hold(found["rank_intervals"], ranked["rankings"])
        yield job, found, exact["metrics"]


def wait_for_progress(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job once corruptions are decided beyond those that have no proof."""
    ends = time.monotonic() + 300
    while (job := get(client, job_id))["progress"]["candidates_done"] <= NUM_WITHOUT_TRAJECTORIES:
        assert job["state"] in ("queued", "running"), job
        assert time.monotonic() < ends
        time.sleep(0.01)
    return job


@pytest.mark.parametrize("damage", [None, "origin", pytest.param("state", marks=pytest.mark.slow)])
def test_a_job_that_is_killed_ends_with_the_same_intervals(
    chain_arguments: list[str],
    undisturbed: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    tmp_path: Path,
    damage: str | None,
) -> None:
    arguments = [*chain_arguments, "--data-folder", str(tmp_path)]
    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        job_id = submit(client, **LARGE)["id"]
        before = wait_for_progress(client, job_id)
        assert before["state"] == "running", "done before the kill; not much of a test"
        assert_metrics_hold(before["intervals"], undisturbed[2])
        server.send(signal.SIGKILL)
        server.wait()
    if damage is not None:
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection, connection:
            change = {"origin": "origin = '{}'", "state": "state = x'00'"}[damage]
            assert connection.execute(f"UPDATE job_states SET {change}").rowcount == 1

    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        job = ended(client, job_id)
        found = results(client, job_id)

        told = "starts anew" if damage is not None else "goes on with"
        assert f"job {job_id} {told}" in server.log
    assert job["state"] == "done"
    assert without_time(job["intervals"]) == without_time(undisturbed[0]["intervals"])
    assert found["rank_intervals"] == undisturbed[1]["rank_intervals"]
    # No step that was stored was taken again.
    assert job["pruning"] == undisturbed[0]["pruning"]
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM job_states").fetchone() == (0,)


def test_a_running_job_yields_to_requests_and_keeps_its_intervals_when_it_is_cancelled(
    chain_arguments: list[str], undisturbed: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
) -> None:
    with RunningServer(*chain_arguments) as server:
        client = server.wait_until_ready().client
        job_id = submit(client, **LARGE)["id"]
        wait_for_progress(client, job_id)
        query = {"head": "n00", "relation": "v", "tail": "n02", "side": "tail"}
        assert rank(client, [query], corruptions=2)["metrics"]["candidates"] == 3
        assert rank(client, [query], corruptions=2, mrr_tolerance=0)["metrics"]["open"] == 0
        assert get(client, job_id)["state"] == "running"

        cancelled = client.post(f"/jobs/{job_id}/cancel").json()

        assert cancelled["state"] == "cancelled"
        assert ended(client, submit(client, split="test", limit=1)["id"])["state"] == "done"
        assert get(client, job_id) == cancelled
        assert_metrics_hold(cancelled["intervals"], undisturbed[2])
        kept = results(client, job_id)["rank_intervals"]
        exact = undisturbed[1]["rank_intervals"]
        assert len(kept) == len(exact)
        for interval, ranking in zip(kept, exact, strict=True):
            assert interval["rank_low"] <= ranking["rank_low"] <= interval["rank_high"]
        assert client.delete(f"/jobs/{job_id}").status_code == 204
        assert client.get(f"/jobs/{job_id}/results").status_code == 404


def test_watchers_are_told_the_intervals(client: httpx.Client) -> None:
    job_id = submit(client, queries=many_queries(40), corruptions="all", mrr_tolerance=0.01)["id"]
    lines = client.get(f"/jobs/{job_id}/events").text.splitlines()
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert told[-1]["state"] == "done"
    assert told[-1]["intervals"] == get(client, job_id)["intervals"]
    decided = [job["progress"]["candidates_done"] for job in told]
    assert decided == sorted(decided)
