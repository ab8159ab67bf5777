"""What the page asks of the server beside the rest of the API."""

from __future__ import annotations

import statistics
from typing import Any

import httpx
import pytest

from proofrank.client import Client
from proofrank.core.comparison.single import QuerySums, interval_of_mean
from proofrank.service.client import ConflictError, NotFoundError
from tests.page.conftest import RUN, Trained


@pytest.fixture
def http(trained: Trained) -> httpx.Client:
    return trained.server.client


@pytest.fixture
def rankings(trained: Trained, http: httpx.Client) -> list[dict[str, Any]]:
    """All rankings of the last step, as its results have them."""
    return http.get(f"/jobs/{trained.jobs[-1].id}/results").json()["rankings"]


def listed(trained: Trained, **query: Any) -> dict[str, Any]:
    answer = trained.server.client.get(f"/jobs/{trained.jobs[-1].id}/rankings", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_rankings_are_listed_by_query_or_by_rank(trained: Trained, rankings: list[dict[str, Any]]) -> None:
    assert listed(trained) == {"total": len(rankings), "rankings": rankings}
    worst = sorted(rankings, key=lambda one: -one["rank"])
    assert listed(trained, order="worst")["rankings"] == worst
    assert listed(trained, order="best")["rankings"] == sorted(rankings, key=lambda one: one["rank"])
    assert listed(trained, order="worst", offset=3, limit=4)["rankings"] == worst[3:7]
    assert listed(trained, offset=len(rankings))["rankings"] == []


def test_rankings_of_one_relation_and_side_are_listed(
    trained: Trained, rankings: list[dict[str, Any]]
) -> None:
    chosen = [one for one in rankings if (one["relation"], one["side"]) == ("ancestor", "head")]
    found = listed(trained, relation="ancestor", side="head", limit=1)
    assert found == {"total": len(chosen), "rankings": chosen[:1]}
    assert listed(trained, relation="ancestor'; DROP TABLE jobs; --") == {"total": 0, "rankings": []}


def test_groups_are_by_depth_and_by_steps(trained: Trained, rankings: list[dict[str, Any]]) -> None:
    with Client(trained.server.url) as client:
        groups = client.groups(trained.jobs[-1].id)
    assert set(groups.by_depth) == {"2", "not listed"}
    assert groups.by_depth["2"].rankings == 4
    for name, metrics in groups.by_steps.items():
        chosen = [one for one in rankings if (str(one["steps"]) if one["proved"] else "not proved") == name]
        assert metrics.rankings == len(chosen)
        assert metrics.mrr == pytest.approx(statistics.mean(one["reciprocal_rank"] for one in chosen))
    assert sum(metrics.rankings for metrics in groups.by_steps.values()) == len(rankings)


def test_intervals_are_those_of_the_reciprocal_ranks_by_query(
    trained: Trained, rankings: list[dict[str, Any]]
) -> None:
    with Client(trained.server.url) as client:
        without = client.run(RUN)
        run = client.run(RUN, intervals=True)
        again = client.run(RUN, intervals=True)
    assert run == again
    assert [job.mrr_interval for step in without.steps for job in step.jobs] == [None] * 3
    values: dict[int, list[float]] = {}
    for one in rankings:
        values.setdefault(one["query_index"], []).append(one["reciprocal_rank"])
    pairs = [(sum(of_query), len(of_query)) for of_query in values.values()]
    expected = interval_of_mean(
        QuerySums(
            len(pairs),
            sum(value for value, _ in pairs),
            sum(size for _, size in pairs),
            sum(value * value for value, _ in pairs),
            sum(value * size for value, size in pairs),
            sum(size * size for _, size in pairs),
        ),
        0.95,
    )
    found = run.steps[-1].jobs[0].mrr_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_reasons_of_a_rank_are_told_under_the_policy_of_any_step(trained: Trained) -> None:
    with Client(trained.server.url) as client:
        for job in trained.jobs:
            for ranking in client.wait(job.id, progress=False).rankings[:6]:
                triple = (ranking.head, ranking.relation, ranking.tail)
                why = client.why(triple, side=ranking.side, corruptions="all", policy=job.policy)
                assert why.policy == job.policy
                assert (why.ranking.rank, why.ranking.score) == (ranking.rank, ranking.score)


def test_reasons_need_a_policy_that_is_there_with_the_content_that_is_named(trained: Trained) -> None:
    triple = ("anna", "ancestor", "cara")
    with Client(trained.server.url) as client:
        with pytest.raises(NotFoundError, match="no policy is called 'trainin-1'"):
            client.why(triple, policy="trainin-1")
        other = trained.jobs[0].policy
        with pytest.raises(ConflictError, match="has the content"):
            client.why(triple, policy=type(other)("training-1", other.sha256))
    body = {"head": "anna", "relation": "ancestor", "tail": "cara", "policy_sha256": other.sha256}
    answer = trained.server.client.post("/why", json=body)
    assert answer.status_code == 422
    assert "name that too" in answer.text


def test_a_comparison_without_intervals_has_the_same_differences(
    trained: Trained, http: httpx.Client
) -> None:
    jobs = {"a": trained.jobs[0].id, "b": trained.jobs[2].id}
    whole = http.get("/compare", params=jobs).json()
    quick = http.get("/compare", params={**jobs, "intervals": False}).json()
    assert quick["resamples"] == 0
    assert quick["overall"]["metrics"]["mrr"]["low"] is None

    def without_intervals(part: Any) -> Any:
        if isinstance(part, dict):
            left_out = ("low", "high", "resamples", "is_worse")
            return {name: without_intervals(value) for name, value in part.items() if name not in left_out}
        return part

    assert without_intervals(quick) == without_intervals(whole)
    assert whole["overall"]["metrics"]["mrr"]["low"] < whole["overall"]["metrics"]["mrr"]["high"]


def test_a_comparison_by_the_depths_of_the_graphs_files(trained: Trained, http: httpx.Client) -> None:
    first, last = trained.jobs[0].id, trained.jobs[2].id
    by_depth = http.get("/compare", params={"a": first, "b": last}).json()["by_depth"]
    groups = [http.get(f"/jobs/{job}/groups").json()["by_depth"] for job in (first, last)]
    assert by_depth
    assert list(by_depth) == list(groups[0])
    for depth, compared in by_depth.items():
        mrr = compared["metrics"]["mrr"]
        assert (mrr["a"], mrr["b"]) == tuple(
            pytest.approx(group[depth]["mrr"], rel=1e-12) for group in groups
        ), depth


def test_the_activity_says_what_is_live_and_what_was_done(trained: Trained, http: httpx.Client) -> None:
    activity = http.get("/activity").json()
    assert activity["stage"] == "ready"
    assert activity["policy"]["name"] == http.get("/policies").json()["active"]
    assert activity["queued_candidates"] == 0
    assert activity["jobs"]["done"] == len(trained.jobs)
    assert activity["jobs"]["running"] == 0
    assert activity["candidates_per_second"] >= 0
    assert activity["max_queued_candidates"] == http.get("/info").json()["limits"]["max_queued_candidates"]


@pytest.mark.parametrize("path", ["rankings", "groups"])
def test_a_job_that_is_not_there_has_no_parts(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/jobs/none/{path}")
    assert answer.status_code == 404
    assert "there is no job 'none'" in answer.json()["detail"]


def test_the_graph_has_counts_and_rules_as_text(trained: Trained, http: httpx.Client) -> None:
    graph = http.get("/graph").json()
    assert (graph["constants"], graph["facts"], graph["num_rules"]) == (8, 9, 2)
    assert graph["relations"] == [
        {"name": "ancestor", "train": 2, "valid": 1, "test": 2, "facts": 2, "rules": 2},
        {"name": "parent", "train": 7, "valid": 0, "test": 1, "facts": 7, "rules": 0},
    ]
    assert [rule["text"] for rule in graph["rules"]] == [
        "ancestor(X, Y) :- parent(X, Y)",
        "ancestor(X, Y) :- parent(X, Z), ancestor(Z, Y)",
    ]
    with Client(trained.server.url) as client:
        assert [rule.name for rule in client.graph(offset=1, limit=1).rules] == ["further"]
        assert client.graph(limit=0).num_rules == 2


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"kind": "constant", "text": "E"}, ["eva", "ben", "george.1"]),
        ({"kind": "constant", "text": "zoë"}, ["Zoë"]),
        ({"kind": "constant", "text": "a", "limit": 2}, ["anna", "cara"]),
        ({"kind": "relation", "text": "par"}, ["parent"]),
        ({"kind": "relation"}, ["ancestor", "parent"]),
        ({"kind": "constant", "text": "%"}, []),
    ],
)
def test_names_are_completed_by_their_beginning_then_by_a_part(
    http: httpx.Client, query: dict[str, Any], names: list[str]
) -> None:
    assert http.get("/names", params=query).json()["names"] == names


def test_the_uses_of_rules_are_those_in_the_proofs(trained: Trained, http: httpx.Client) -> None:
    job = trained.jobs[-1]
    rankings = http.get(f"/jobs/{job.id}/results").json()["rankings"]
    proved = {(one["head"], one["relation"], one["tail"]) for one in rankings if one["proved"]}
    uses: dict[str, int] = {}
    for head, relation, tail in proved:
        body = {"head": head, "relation": relation, "tail": tail, "corruptions": 0, "policy": job.policy.name}
        text = http.post("/why", json=body).json()["positive"]["proof"]
        for name in ("direct", "further"):
            uses[name] = uses.get(name, 0) + text.count(f"[rule {name}]")
    usage = http.get(f"/jobs/{job.id}/rules").json()
    assert (usage["proved"], usage["proofs"]) == (len(proved), len(proved))
    assert {rule["name"]: rule["uses"] for rule in usage["rules"]} == {
        name: number for name, number in uses.items() if number
    }
    assert all(1 <= rule["proofs"] <= rule["uses"] for rule in usage["rules"])
    few = http.get(f"/jobs/{job.id}/rules", params={"limit": 1}).json()
    assert (few["proved"], few["proofs"]) == (len(proved), 1)
