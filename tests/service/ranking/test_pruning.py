"""``pruning`` over HTTP, in jobs and in the client: the same ranks, and what was left out."""

from __future__ import annotations

import csv
import io
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from proofrank.service.client import Client, InvalidRequestError
from tests.helpers.answers import rank, rankings_of, refusal, without_time
from tests.helpers.job_client import ended, many_queries, results, submit
from tests.helpers.serving import RunningServer

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
    {"head": "eva", "relation": "parent", "tail": "Zoë"},
    {"head": "ben", "relation": "ancestor", "tail": "/m/08966", "side": "head"},
    # A fact among the candidates, one that is provable, and others that are not.
    {
        "head": "anna",
        "relation": "parent",
        "tail": "eva",
        "side": "tail",
        "candidates": ["ben", "cara", "george.1"],
    },
    {"head": "Zoë", "relation": "ancestor", "tail": "anna"},  # no proof exists
]
OPTIONS: list[dict[str, Any]] = [
    {"corruptions": corruptions, "filtered": filtered, "ties": ties, "seed": 4}
    for corruptions, filtered, ties in itertools.product(
        ("all", 3, 0), (True, False), ("realistic", "random")
    )
]


def without_pruning(answer: dict[str, Any]) -> Any:
    return without_time({name: value for name, value in answer.items() if name != "pruning"})


def without_corruptions_proved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_corruptions_proved(item)
            for name, item in value.items()
            if name != "corruptions_proved"
        }
    return [without_corruptions_proved(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("options", OPTIONS)
def test_a_pruned_answer_is_the_whole_one(client: httpx.Client, options: dict[str, Any]) -> None:
    whole = rank(client, QUERIES, **options, pruning="none")
    by_default = rank(client, QUERIES, **options)
    exact = rank(client, QUERIES, **options, pruning="exact")
    by_ranks = rank(client, QUERIES, **options, pruning="ranks")

    assert without_pruning(by_default) == without_pruning(whole)
    assert without_pruning(exact) == without_pruning(whole)
    assert without_corruptions_proved(without_pruning(by_ranks)) == without_corruptions_proved(
        without_pruning(whole)
    )
    assert by_ranks["metrics"]["corruptions_proved"] is None
    check_counts(whole, exact, by_default, by_ranks)


def check_counts(*answers: dict[str, Any]) -> None:
    """Every candidate took one of the three ways, and with more pruning there are no more steps."""
    assert [answer["pruning"].pop("level") for answer in answers] == ["none", "exact", "exact", "ranks"]
    whole, exact, by_default, by_ranks = (answer["pruning"] for answer in answers)
    num_candidates = answers[0]["metrics"]["candidates"]
    assert (whole["evaluated"], whole["unprovable"], whole["fallen_behind"]) == (num_candidates, 0, 0)
    assert exact == by_default
    for counts in (exact, by_ranks):
        assert counts["evaluated"] + counts["unprovable"] + counts["fallen_behind"] == num_candidates
    assert exact["unprovable"] == by_ranks["unprovable"]
    assert by_ranks["steps"] <= exact["steps"] <= whole["steps"]
    if num_candidates > 60:
        assert exact["steps"] < whole["steps"]


def test_proofs_of_positives_are_there_with_pruning_too(client: httpx.Client) -> None:
    whole = rank(client, QUERIES[:2], return_proof=True, pruning="none")
    exact = rank(client, QUERIES[:2], return_proof=True)

    assert exact["pruning"]["level"] == "exact"
    assert all(ranking["proof"]["steps"] for ranking in rankings_of(exact))
    assert without_pruning(exact) == without_pruning(whole)


def test_whoever_asks_for_scores_gets_all_of_them(client: httpx.Client) -> None:
    whole = rank(client, QUERIES, return_candidates=True, pruning="none")
    by_default = rank(client, QUERIES, return_candidates=True)

    assert without_time(by_default) == without_time(whole)
    assert by_default["pruning"]["level"] == "none"
    assert all(candidate["steps"] for ranking in rankings_of(whole) for candidate in ranking["candidates"])


@pytest.mark.parametrize("level", ["exact", "ranks"])
def test_scores_that_pruning_leaves_open_are_refused(client: httpx.Client, level: str) -> None:
    body = {"queries": QUERIES, "return_candidates": True, "pruning": level}

    assert "expected 'none' with 'return_candidates'" in refusal(client.post("/rank", json=body))["detail"]


def test_an_unknown_level_is_refused_by_name(client: httpx.Client) -> None:
    for path, body in (("/rank", {"queries": QUERIES}), ("/jobs", {"split": "test"})):
        (error,) = refusal(client.post(path, json={**body, "pruning": "all"}))["errors"]
        assert (error["field"], error["value"]) == ("pruning", "all")
        assert "'none', 'exact' or 'ranks'" in error["message"]


def test_pruned_requests_beside_others_and_beside_a_job_have_the_same_ranks(client: httpx.Client) -> None:
    whole = rank(client, QUERIES, corruptions="all", pruning="none")
    job = submit(client, queries=many_queries(60), corruptions="all")

    with ThreadPoolExecutor(8) as threads:
        levels = [level for level in ("none", "exact", "ranks") for _ in range(4)]
        answers = list(
            threads.map(lambda level: rank(client, QUERIES, corruptions="all", pruning=level), levels)
        )

    for level, answer in zip(levels, answers, strict=True):
        if level == "ranks":
            answer, expected = without_corruptions_proved(answer), without_corruptions_proved(whole)
        else:
            expected = whole
        assert without_pruning(answer) == without_pruning(expected)
    assert ended(client, job["id"])["state"] == "done"


def test_a_pruned_request_that_is_late_leaves_the_others_as_they_are(client: httpx.Client) -> None:
    whole = rank(client, QUERIES, corruptions="all", pruning="none")
    for _ in range(3):
        late = client.post("/rank", json={"queries": QUERIES * 2, "corruptions": "all", "deadline_ms": 1})
        assert late.status_code == 504
        assert without_pruning(rank(client, QUERIES, corruptions="all")) == without_pruning(whole)


@pytest.mark.parametrize("ties", ["realistic", "random"])
def test_a_pruned_job_has_the_ranks_of_a_whole_one(client: httpx.Client, ties: str) -> None:
    def done(**options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        body = {"queries": many_queries(24), "corruptions": "all", "ties": ties, "seed": 2, **options}
        job = ended(client, submit(client, **body)["id"])
        assert job["state"] == "done"
        return job, results(client, job["id"])["rankings"]

    whole, rankings = done(pruning="none")
    exact, exact_rankings = done()
    by_ranks, rankings_by_ranks = done(pruning="ranks")

    assert without_time(exact["metrics"]) == without_time(whole["metrics"])
    assert exact_rankings == rankings
    assert without_corruptions_proved(rankings_by_ranks) == without_corruptions_proved(rankings)
    assert {ranking["corruptions_proved"] for ranking in rankings_by_ranks} == {None}
    assert by_ranks["metrics"]["corruptions_proved"] is None
    assert by_ranks["metrics"]["mrr"] == whole["metrics"]["mrr"]
    candidates = whole["progress"]["candidates"]
    assert whole["pruning"]["evaluated"] == candidates
    assert whole["pruning"]["steps"] > exact["pruning"]["steps"] >= by_ranks["pruning"]["steps"] > 0
    assert exact["pruning"]["unprovable"] > 0
    for job in (exact, by_ranks):
        counts = job["pruning"]
        assert counts["evaluated"] + counts["unprovable"] + counts["fallen_behind"] == candidates


def test_what_a_job_leaves_open_is_empty_in_its_tables(client: httpx.Client) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    job = ended(client, submit(client, split="test", pruning="ranks")["id"])

    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job['id']}/results.csv").text)))
    table = pyarrow.read_table(io.BytesIO(client.get(f"/jobs/{job['id']}/results.parquet").content))

    assert {row["corruptions_proved"] for row in rows} == {""}
    assert {row["corruptions_proved"] for row in table.to_pylist()} == {None}
    assert str(table.schema.field("corruptions_proved").type) == "int64"


def test_the_client_asks_for_a_level_and_tells_what_was_left_out(server: RunningServer) -> None:
    with Client(server.url) as speaker:
        queries = [("anna", "ancestor", "Zoë")]
        whole = speaker.rank(queries, corruptions="all", pruning="none")
        exact = speaker.rank(queries, corruptions="all")
        job = speaker.evaluate("test", corruptions="all", pruning="ranks")
        with pytest.raises(InvalidRequestError, match="return_candidates"):
            speaker.rank(queries, pruning="exact", return_candidates=True)

    assert exact.pruning is not None
    assert whole.pruning is not None
    assert (whole.pruning.level, exact.pruning.level) == ("none", "exact")
    assert exact.pruning.unprovable
    assert exact.metrics.mrr == whole.metrics.mrr
    assert job.job.pruning is not None
    assert job.job.pruning.level == "ranks"
    assert job.metrics.corruptions_proved is None
    assert {ranking.corruptions_proved for ranking in job.rankings} == {None}
