"""Health, identity, request ids, metrics and the OpenAPI document of a running server."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank._version import __version__
from proofrank.core.graph import Dataset
from proofrank.service.wire import RankRequest
from tests.helpers.job_client import ended, submit
from tests.helpers.limits import MAX_BODY_BYTES, MAX_CANDIDATES, MAX_PROOFS, MAX_QUERIES
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}


def test_health_is_told_as_long_as_the_process_lives(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_info_tells_dataset_policy_prover_and_limits(client: httpx.Client, family: Dataset) -> None:
    info = client.get("/info").json()
    assert info["version"] == __version__
    assert info["engine"] == "original"
    assert info["device"] == "cpu"
    assert info["dataset"].pop("warnings") == []
    assert info["dataset"].pop("files")[3] == {
        "name": "rules.txt",
        "holds": "rules",
        "format": "proofrank",
        "count": 2,
    }
    assert info["dataset"] == {
        "name": "family",
        "sha256": family.content_hash,
        "constants": 8,
        "relations": ["ancestor", "parent"],
        "rules": 2,
        "domains": {},
        "train": 9,
        "valid": 1,
        "test": 3,
        "facts": 9,
    }
    assert info["policy"]["name"] == "untrained"
    assert info["policy"]["embedding_dim"] == 16
    assert info["policy"]["parameters"] > 0
    assert re.fullmatch("[0-9a-f]{64}", info["policy"]["sha256"])
    assert info["prover"]["max_depth"] == 20
    assert info["limits"]["max_queries"] == MAX_QUERIES
    assert info["limits"]["max_candidates"] == MAX_CANDIDATES
    assert info["limits"]["max_proofs"] == MAX_PROOFS
    assert info["limits"]["max_body_bytes"] == MAX_BODY_BYTES
    stages = {"load dataset", "load policy", "build evaluator", "warm up", "least model"}
    assert stages <= set(info["startup_seconds"])


def test_what_is_probably_wrong_in_the_dataset_is_in_info_and_in_the_log(
    family_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(family_folder, tmp_path / "leak"))
    with (folder / "test.txt").open("a", encoding="utf-8") as file:
        file.write("parent(eva,Zoë).\n")
    with RunningServer("--dataset", str(folder), "--policy", "untrained", "--engine", "original") as server:
        server.wait_until_ready()
        (warning,) = httpx.get(f"{server.url}/info").json()["dataset"]["warnings"]
        log = server.log

    assert (warning["kind"], warning["count"]) == ("overlap", 1)
    # Of paths on the server's disk, clients see the name of the file alone.
    assert warning["places"] == [
        {"path": "test.txt", "line": 4, "text": "parent(eva,Zoë), as in line 5 of train.txt"}
    ]
    assert warning["message"].startswith("test.txt: 1 triple is in train.txt too: ")
    assert "test.txt: 1 triple is in train.txt too: " in log


@pytest.mark.parametrize("path", ["/healthz", "/rank", "/nothing"])
def test_a_sane_request_id_comes_back(client: httpx.Client, path: str) -> None:
    answer = client.post(path, headers={"X-Request-ID": "run-7.query_3"}, json={"queries": [QUERY]})
    assert answer.headers.get_list("x-request-id") == ["run-7.query_3"]
    if path != "/healthz":
        assert answer.json()["request_id"] == "run-7.query_3"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, 'id"quoted', "ü".encode()])
def test_a_missing_or_odd_request_id_is_replaced(client: httpx.Client, given: str | bytes | None) -> None:
    headers: Any = {} if given is None else {"X-Request-ID": given}
    answer = client.get("/healthz", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_metrics_count_requests_rankings_and_candidates(client: httpx.Client) -> None:
    before = scrape(client)
    answer = client.post("/rank", json={"queries": [QUERY], "corruptions": 3}).json()
    client.post("/rank", json={"queries": []})
    after = scrape(client)
    assert (
        growth(before, after, "proofrank_request_duration_seconds_count", endpoint="/rank", status="200") == 1
    )
    assert (
        growth(before, after, "proofrank_request_duration_seconds_count", endpoint="/rank", status="422") == 1
    )
    for name in ("queue", "first_result", "execution"):
        count = f"proofrank_{name}_duration_seconds_count"
        assert growth(before, after, count, kind="interactive", outcome="done") == 1
    assert growth(before, after, "proofrank_rejected_requests_total", reason="invalid") == 1
    assert growth(before, after, "proofrank_queries_total") == 1
    rankings = [ranking for query in answer["queries"] for ranking in query["rankings"]]
    for ranking in rankings:
        labels = {
            "dataset": "family",
            "policy": "untrained",
            "sha256": answer["policy"]["sha256"],
            "side": ranking["side"],
        }
        assert growth(before, after, "proofrank_rankings_total", **labels) == 1
        assert growth(before, after, "proofrank_reciprocal_rank_total", **labels) == pytest.approx(
            1 / ranking["ranks"]["realistic"]
        )
        is_hit = ranking["ranks"]["realistic"] <= 3
        assert growth(before, after, "proofrank_hits_total", **labels, k="3") == is_hit
    of_relation = {"dataset": "family", "policy": "untrained", "sha256": answer["policy"]["sha256"]}
    assert growth(before, after, "proofrank_relation_rankings_total", **of_relation, relation="ancestor") == 2
    assert growth(before, after, "proofrank_relation_rankings_total", **of_relation, relation="parent") == 0
    by_kind = {"positive": 0.0, "corruption": 0.0}
    for name, labels in after:
        if name == "proofrank_candidates_total":
            by_kind[dict(labels)["kind"]] += growth(before, after, name, **dict(labels))
    assert by_kind == {"positive": 2, "corruption": 6}
    steps = [
        growth(before, after, f"proofrank_proof_steps_{part}", proved=proved)
        for part in ("count", "sum")
        for proved in ("true", "false")
    ]
    pruning = answer["pruning"]
    assert pruning["level"] == "exact"
    assert pruning["unprovable"] > 0
    assert pruning["evaluated"] + pruning["unprovable"] + pruning["fallen_behind"] == 8
    assert sum(steps[:2]) == pruning["evaluated"]
    for lever, number in (("provability", pruning["unprovable"]), ("bound", pruning["fallen_behind"])):
        assert growth(before, after, "proofrank_pruned_candidates_total", lever=lever) == number
    of_pruned, of_others = (
        growth(before, after, "proofrank_trajectory_steps_total", pruned=pruned)
        for pruned in ("true", "false")
    )
    assert of_others == sum(steps[2:]) > 0
    assert of_pruned + of_others == pruning["steps"]
    assert after["proofrank_least_model_atoms", ()] > 8
    assert after["proofrank_least_model_is_superset", ()] == 0
    assert after["proofrank_last_request_mrr", ()] == pytest.approx(answer["metrics"]["mrr"])
    assert after["proofrank_last_request_hits_ratio", (("k", "10"),)] == answer["metrics"]["hits@10"]
    assert after["proofrank_queued_candidates", ()] == 0
    assert after["proofrank_requests_in_flight", ()] == 0
    assert after["proofrank_ready", ()] == 1
    (build,) = (dict(labels) for name, labels in after if name == "proofrank_build_info")
    assert build["version"] == __version__


def test_explanations_do_not_count_as_ranks_of_the_policy(client: httpx.Client) -> None:
    client.post("/rank", json={"queries": [QUERY], "corruptions": "all"})
    job = ended(client, submit(client, split="test")["id"])

    def judged() -> dict[Any, float]:
        of_policy = ("proofrank_rankings", "proofrank_relation_", "proofrank_reciprocal", "proofrank_hits")
        last = ("proofrank_last_request_",)
        return {
            key: number for key, number in scrape(client).items() if key[0].startswith((*of_policy, *last))
        }

    before, counted_before = judged(), scrape(client)
    for corruptions in (0, "all"):
        assert client.post("/why", json={**QUERY, "corruptions": corruptions, "first": 0}).status_code == 200
    assert client.get(f"/jobs/{job['id']}/rules").status_code == 200
    assert judged() == before
    assert growth(counted_before, scrape(client), "proofrank_queries_total") >= 2


def test_made_up_paths_do_not_make_up_metrics(client: httpx.Client) -> None:
    client.get("/made/up/4711")
    names = {label for _, labels in scrape(client) for label in labels}
    assert ("endpoint", "unknown") in names
    assert not any("4711" in value for _, value in names)


def test_the_openapi_document_has_an_example_that_is_a_request(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert {"/rank", "/healthz", "/readyz", "/info"} <= set(document["paths"])
    (example,) = document["components"]["schemas"]["RankRequest"]["examples"]
    assert RankRequest.model_validate(example).return_proof
    refusals = document["paths"]["/rank"]["post"]["responses"]
    assert {"200", "413", "422", "429", "503"} <= set(refusals)
