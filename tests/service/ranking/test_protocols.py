"""A protocol gives the same numbers in this process, by the command, by ``/rank`` and as a job, and names itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import proofrank
from proofrank.core.graph import Dataset
from proofrank.service.cli.main import main
from proofrank.service.client import Client
from proofrank.service.wire import JobOptions
from tests.helpers.answers import rank, rankings_of
from tests.helpers.job_client import ended, results, submit
from tests.helpers.serving import RunningServer

PROTOCOLS = ("filtered-all", "sampled-4", "deepprooflog-4")


@pytest.fixture(scope="module")
def policy(policy_folder: Path, family: Dataset) -> proofrank.Policy:
    return proofrank.load_policy(policy_folder, family)


def queries_of(family: Dataset) -> list[dict[str, str]]:
    """The test split as queries of ``/rank``."""
    names = map(family.names, family.splits["test"])
    return [{"head": head, "relation": relation, "tail": tail} for head, relation, tail in names]


def ranks_of(rows: Any) -> list[tuple[Any, ...]]:
    """What each ranking says of its rank."""
    return [(row["side"], row["rank"], row["ranks"]["random"], row["num_candidates"]) for row in rows]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_numbers_are_the_same_everywhere_and_the_name_stands_in_every_result(
    client: httpx.Client,
    family: Dataset,
    policy: proofrank.Policy,
    evaluate_arguments: list[str],
    tmp_path: Path,
    protocol: str,
) -> None:
    report = proofrank.evaluate(family, policy, engine="original", protocol=protocol, seed=6)
    expected = [(one.side, one.rank, one.rank_random, one.num_candidates) for one in report.rankings]

    answer = rank(client, queries_of(family), protocol=protocol, seed=6)
    assert ranks_of(rankings_of(answer)) == expected
    assert answer["metrics"]["mrr"] == report.metrics.mrr

    job = ended(client, submit(client, split="test", protocol=protocol, seed=6)["id"])
    assert ranks_of(results(client, job["id"])["rankings"]) == expected
    assert job["metrics"]["mrr"] == report.metrics.mrr

    written, lines = tmp_path / "metrics.json", tmp_path / "rows.jsonl"
    options = [*evaluate_arguments, "--protocol", protocol, "--seed", "6"]
    assert main([*options, "--json", str(written), "--rankings"]) == 0
    assert main([*options, "--results", str(lines), "--queries-per-shard", "1"]) == 0
    content = json.loads(written.read_text())
    assert content["mrr"] == report.metrics.mrr
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(r["side"], r["rank"], r["rank_random"], r["num_candidates"]) for r in rows] == expected

    named = [
        report.protocol.name,
        report.to_dict()["protocol"]["name"],
        content["protocol"]["name"],
        json.loads((tmp_path / "rows.jsonl.run.json").read_text())["protocol"],
        answer["protocol"],
        job["request"]["protocol"],
    ]
    assert named == [protocol] * len(named)
    assert proofrank.compare(str(written), str(lines)).protocol.name == protocol
    assert proofrank.compare(report, str(lines)).overall.metrics["mrr"].difference == 0


def test_without_a_protocol_nothing_in_results_says_so(
    client: httpx.Client, family: Dataset, evaluate_arguments: list[str], tmp_path: Path
) -> None:
    written = tmp_path / "metrics.json"
    assert main([*evaluate_arguments, "--corruptions", "2", "--json", str(written)]) == 0
    protocol = json.loads(written.read_text())["protocol"]
    assert protocol["corruptions"] == 2 and not {"name", "candidates_from", "negatives"} & protocol.keys()
    assert "protocol" not in rank(client, queries_of(family))
    options = JobOptions.model_validate({"split": "test"}).model_dump()
    assert not {"protocol", "candidates_from", "hits_at"} & options.keys()


def test_evaluations_of_unlike_protocols_are_not_compared(
    family: Dataset, policy: proofrank.Policy, client: httpx.Client
) -> None:
    asked: list[dict[str, Any]] = [{"protocol": "filtered-all"}, {}, {"candidates_from": "relations"}]
    one, other, third = (
        proofrank.evaluate(family, policy, engine="original", corruptions="all", **options)
        for options in asked
    )
    with pytest.raises(proofrank.ComparisonError, match="protocol is 'filtered-all' in A and None in B"):
        proofrank.compare(one, other)
    with pytest.raises(
        proofrank.ComparisonError, match="candidates_from is 'domains' in A and 'relations' in B"
    ):
        proofrank.compare(other, third)
    jobs = [
        ended(client, submit(client, split="test", corruptions="all", **options)["id"])["id"]
        for options in ({"protocol": "filtered-all"}, {})
    ]
    answer = client.get("/compare", params={"a": jobs[0], "b": jobs[1]})
    assert answer.status_code == 422
    assert "protocol is 'filtered-all' in A" in answer.text


@pytest.fixture
def negatives(family: Dataset, tmp_path: Path) -> Path:
    """Two negatives for each test triple and side."""
    path = tmp_path / "negatives.tsv"
    names = family.vocabulary.constants
    lines = []
    for triple in map(family.names, family.splits["test"]):
        for side, own in (("head", triple[0]), ("tail", triple[2])):
            others = [name for name in names if name != own]
            lines.append("\t".join([*triple, side, others[0], others[-1]]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_fixed_negatives_of_a_file_and_of_a_request_give_the_same_ranks(
    client: httpx.Client, family: Dataset, policy: proofrank.Policy, negatives: Path
) -> None:
    report = proofrank.evaluate(family, policy, engine="original", protocol="ogb", negatives=negatives)
    assert report.metrics.candidates == 2 * 3 * len(family.splits["test"])
    queries = []
    for line in negatives.read_text().splitlines():
        head, relation, tail, side, *others = line.split("\t")
        queries.append({"head": head, "relation": relation, "tail": tail, "side": side, "candidates": others})
    answer = rank(client, queries, protocol="ogb")
    assert [row["rank"] for row in rankings_of(answer)] == [one.rank for one in report.rankings]
    assert answer["metrics"]["mrr"] == report.metrics.mrr
    assert len(report.protocol.negatives or "") == 64


def test_other_negatives_are_another_protocol_and_another_run(
    family: Dataset, policy: proofrank.Policy, negatives: Path, evaluate_arguments: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = tmp_path / "other.tsv"
    other.write_text("\n".join(reversed(negatives.read_text().splitlines())))
    reports = [
        proofrank.evaluate(family, policy, engine="original", protocol="fixed-negatives", negatives=file)
        for file in (negatives, other)
    ]
    with pytest.raises(proofrank.ComparisonError, match="negatives is '"):
        proofrank.compare(*reports)
    options = [
        *evaluate_arguments,
        "--protocol",
        "fixed-negatives",
        "--results",
        str(tmp_path / "rows.jsonl"),
    ]
    assert main([*options, "--negatives", str(negatives)]) == 0
    assert main([*options, "--negatives", str(other)]) == 2
    assert "negatives is" in capsys.readouterr().err


def test_an_mrr_to_a_tolerance_holds_the_exact_one_of_fixed_negatives_and_is_refused_with_drawn_keys(
    family: Dataset, policy: proofrank.Policy, negatives: Path
) -> None:
    options: dict[str, Any] = {"engine": "original", "protocol": "fixed-negatives", "negatives": negatives}
    exact = proofrank.evaluate(family, policy, **options).metrics.mrr
    found = proofrank.evaluate(family, policy, **options, mrr_tolerance=0.0).metrics.mrr
    assert found.low <= exact <= found.high
    with pytest.raises(proofrank.RankingError, match="needs exact ranks"):
        proofrank.evaluate(family, policy, protocol="deepprooflog", mrr_tolerance=0.1)


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"protocol": "filtered"}, "body", "unknown protocol 'filtered'; did you mean 'filtered-all'"),
        (
            {"protocol": "filtered-all", "corruptions": 7},
            "body",
            "corruptions is 7, and protocol 'filtered-all'",
        ),
        ({"protocol": "deepprooflog", "ties": "optimistic"}, "body", "ties is 'optimistic', and protocol"),
        ({"protocol": "ogb"}, "queries[0].candidates", "needs the negatives of each query"),
        ({"protocol": 7}, "protocol", "valid string"),
        ({"candidates_from": "elsewhere"}, "candidates_from", "'domains', 'entities' or 'relations'"),
        ({"protocol": "deepprooflog-1000000", "side": "both"}, "protocol", "draws; expected fewer"),
    ],
)
def test_what_a_protocol_does_not_rank_is_refused(
    client: httpx.Client, family: Dataset, options: dict[str, Any], field: str, message: str
) -> None:
    answer = client.post("/rank", json={"queries": queries_of(family) * 16, **options})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], message in error["message"]) == (field, True), error


def test_a_query_with_candidates_of_its_own_has_no_part_in_a_draw(
    client: httpx.Client, family: Dataset
) -> None:
    query = {**queries_of(family)[0], "side": "tail", "candidates": ["anna"]}
    answer = client.post("/rank", json={"queries": [query], "protocol": "sampled-4"})
    assert answer.status_code == 422 and "has no part for a query's own candidates" in answer.text
    uneven = [query, {**query, "candidates": ["anna", "ben"]}]
    answer = client.post("/rank", json={"queries": uneven, "protocol": "ogb"})
    assert answer.status_code == 422 and "as many negatives" in answer.text


def test_jobs_refuse_what_they_cannot_rank(client: httpx.Client, family: Dataset) -> None:
    answer = client.post("/jobs", json={"split": "test", "protocol": "fixed-negatives"})
    assert answer.status_code == 422 and "which a job has no room for" in answer.text
    queries = [
        {**query, "side": side} for query, side in zip(queries_of(family), ("head", "tail"), strict=False)
    ]
    job = ended(client, submit(client, queries=queries, protocol="deepprooflog")["id"])
    assert (job["state"], "on the same sides" in job["error"]) == ("failed", True)


def test_the_command_and_the_client_ask_a_server_for_a_protocol(
    server: RunningServer, family: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "answer.json"
    arguments = ["rank", "--url", server.url, *family.names(family.splits["test"][0]), "--json", str(path)]
    assert main([*arguments, "--protocol", "filtered-all"]) == 0
    assert json.loads(path.read_text())["protocol"] == "filtered-all"
    with Client(server.url) as speaker:
        result = speaker.evaluate("test", candidates_from="relations", corruptions="all", progress=False)
        assert result.job.request.candidates_from == "relations"
        whole = speaker.evaluate("test", protocol="filtered-all", progress=False)
    assert result.metrics.candidates < whole.metrics.candidates
    assert whole.job.request.corruptions == "all"


def test_an_mrr_to_a_tolerance_is_that_of_the_protocol_and_has_the_asked_hits(
    client: httpx.Client, family: Dataset
) -> None:
    options = {"protocol": "filtered-all", "hits_at": [2]}
    exact = rank(client, queries_of(family), **options)
    found = rank(client, queries_of(family), **options, mrr_tolerance=0.0)
    assert found["protocol"] == "filtered-all"
    assert found["metrics"]["mrr"] == exact["metrics"]["mrr"]
    assert found["metrics"]["candidates"] == exact["metrics"]["candidates"]
    assert found["metrics"]["intervals"]["hits@2"] == [exact["metrics"]["hits_at"]["2"]] * 2
    body = {"queries": queries_of(family), "protocol": "deepprooflog", "mrr_tolerance": 0.1}
    answer = client.post("/rank", json=body)
    assert answer.status_code == 422 and "needs exact ranks" in answer.text
    body = {"queries": queries_of(family), "protocol": "ogb", "mrr_tolerance": 0.1}
    assert client.post("/rank", json=body).json()["errors"][0]["field"] == "queries[0].candidates"
