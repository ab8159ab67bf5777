"""``--hits-at`` counts hits at any k; ``proofrank metrics`` computes metrics of stored ranks."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.service.cli.main import main
from proofrank.service.client import Client
from tests.helpers.answers import rank
from tests.helpers.job_client import ended, submit
from tests.helpers.serving import RunningServer

NAMES = ("mrr", "adjusted_hits_at_2", "tail.hits@2", "macro.mean_rank", "zmrr", "pessimistic.gmr")


@pytest.fixture(scope="module")
def report() -> proofrank.EvaluationReport:
    """An evaluation of the package's graph in this process."""
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    return proofrank.evaluate(dataset, policy, corruptions=7, ties="optimistic", hits_at=[20, 2])


def printed_metrics(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """The metrics of ``NAMES`` as the command prints them for the results at ``path``."""
    names = [part for name in NAMES for part in ("--metric", name)]
    assert main(["metrics", str(path), *names]) == 0
    return {name: float(value) for name, value in map(str.split, capsys.readouterr().out.splitlines())}


def test_a_report_has_metrics_by_name_and_the_hits_that_were_asked_for(
    report: proofrank.EvaluationReport,
) -> None:
    ranks = [ranking.rank_optimistic for ranking in report.rankings]
    assert list(report.metrics.hits_at) == [2, 20]
    assert (
        report.metric("hits@2") == report.metrics.hits_at[2] == sum(rank <= 2 for rank in ranks) / len(ranks)
    )
    assert report.metric("mrr") == report.metrics.mrr  # a name without a type of rank means the report's ties
    assert report.metric("optimistic.mrr") == report.metric("mrr")
    assert report.metric("amri") == pytest.approx(report.metrics.adjusted_mean_rank_index, abs=1e-12)
    assert report.to_dict()["by_side"]["tail"]["hits@20"] == report.by_side["tail"].hits_at[20]


@pytest.mark.parametrize("ks", [[], [0], [1, 1], ["1"], [1.5], [10**10], list(range(1, 22))])
def test_hits_at_no_possible_k_are_refused(ks: list[int]) -> None:
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    with pytest.raises(proofrank.RankingError, match="hits_at"):
        proofrank.evaluate(dataset, policy, corruptions=1, hits_at=ks)


def test_every_kind_of_results_gives_the_same_metrics(
    evaluate_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--corruptions", "all", "--ties", "pessimistic"]
    whole, lines, parts = (tmp_path / name for name in ("whole.json", "rows.jsonl", "rows.parquet"))
    assert main([*evaluate_arguments, *options, "--json", str(whole), "--rankings"]) == 0
    assert main([*evaluate_arguments, *options, "--results", str(lines)]) == 0
    assert main([*evaluate_arguments, *options, "--results", str(parts)]) == 0
    capsys.readouterr()
    found = printed_metrics(whole, capsys)
    assert found == printed_metrics(lines, capsys) == printed_metrics(parts, capsys)
    assert found["mrr"] == pytest.approx(json.loads(whole.read_text())["mrr"], abs=1e-5)


def test_a_job_and_its_tables_give_the_same_metrics(
    server: RunningServer, client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as speaker:
        result = speaker.evaluate("test", corruptions="all", hits_at=[5, 2], progress=False)
        assert result.metrics.hits_at == {2: result.metric("hits@2"), 5: result.metric("hits@5")}
        assert result.metrics.by_relation["ancestor"].hits_at.keys() == {2, 5}
        assert result.metrics.hits_at_1 == result.metric("hits@1")
        for suffix in (".json", ".csv", ".parquet"):
            path = speaker.export(result.job.id, tmp_path / f"job{suffix}")
            found = printed_metrics(path, capsys)
            assert found == {name: pytest.approx(result.metric(name), abs=1e-5) for name in NAMES}


def test_the_answers_have_the_asked_hits_beside_those_of_every_answer(client: httpx.Client) -> None:
    query = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
    plain = rank(client, [query], corruptions="all")["metrics"]
    asked = rank(client, [query], corruptions="all", hits_at=[1, 2])["metrics"]
    assert "hits_at" not in plain and "hits_at" not in plain["by_side"]["tail"]
    assert asked["hits_at"].keys() == asked["by_side"]["tail"]["hits_at"].keys() == {"1", "2"}
    assert asked["hits_at"]["1"] == asked["hits@1"] == plain["hits@1"]
    job = ended(client, submit(client, queries=[query], corruptions="all", hits_at=[1, 2])["id"])
    assert job["metrics"]["hits_at"] == asked["hits_at"]
    assert job["request"]["hits_at"] == [1, 2]
    for wrong in ([], [0], [2, 2], list(range(1, 22))):
        answer = client.post("/rank", json={"queries": [query], "hits_at": wrong})
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"].startswith("hits_at")


def test_floors_follow_the_k_and_name_one_that_is_missing(
    evaluate_arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*evaluate_arguments, "--corruptions", "all", "--hits-at", "2,7"]
    assert main([*options, "--fail-below", "hits@7=0"]) == 0
    assert "Hits@7" in capsys.readouterr().out
    assert main([*options, "--fail-below", "hits@2=1.5"]) == 1
    assert "hits@2 is" in capsys.readouterr().err
    assert main([*options, "--fail-below", "hits@3=0.5"]) == 2
    assert "--hits-at is 2,7; add 3" in capsys.readouterr().err


def test_all_metrics_are_printed_by_type_of_rank_and_written(
    evaluate_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, written = tmp_path / "rows.jsonl", tmp_path / "metrics.json"
    assert main([*evaluate_arguments, "--corruptions", "all", "--results", str(results)]) == 0
    assert main(["metrics", str(results), "--hits-at", "2", "--macro", "--json", str(written)]) == 0
    assert "adjusted_hits_at_2" in capsys.readouterr().out
    content = json.loads(written.read_text())
    assert content["macro"] is True and content["protocol"]["corruptions"] == "all"
    assert content["metrics"].keys() == {"optimistic", "realistic", "pessimistic"}
    assert content["metrics"]["realistic"]["hits_at_2"] is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"mrr": 1}', "holds no rankings"),
        ("[]", "holds no rankings"),
        ("{", "not as written"),
        ('{"results": [], "protocol": {}}', "no ranking"),
        ('{"results": [{"relation": "p"}], "protocol": {}}', "lacks 'rank_optimistic'"),
    ],
)
def test_a_file_without_rankings_says_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    assert main(["metrics", str(path)]) == 2
    assert message in capsys.readouterr().err
