"""Evaluations in shards rank by embeddings and hybrid scores as one at once does, also after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrank.core.graph import Dataset
from proofrank.service.cli.main import main
from tests.helpers.embeddings import write_distmult
from tests.helpers.result_rows import SUFFIXES, read_rows

FLAGS = {
    "embedding": ["--scoring", "embedding"],
    "hybrid": ["--scoring", "hybrid", "--weight", "0.75", "--penalty", "2.5"],
}


@pytest.fixture
def scored_arguments(bulk_arguments: list[str], family: Dataset, tmp_path: Path) -> list[str]:
    return [*bulk_arguments, "--embedding", str(write_distmult(tmp_path / "distmult", family))]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("scoring", FLAGS)
@pytest.mark.parametrize("pruning", ["none", "ranks"])
def test_shards_have_the_metrics_of_one_evaluation_and_resume_with_them(
    scoring: str, pruning: str, suffix: str, scored_arguments: list[str], tmp_path: Path
) -> None:
    whole, in_shards, again = (tmp_path / f"{name}.json" for name in ("whole", "shards", "again"))
    arguments = [*scored_arguments, *FLAGS[scoring], "--pruning", pruning]
    assert main([*arguments, "--json", str(whole), "--rankings"]) == 0
    results = tmp_path / f"rows{suffix}"
    shards = ["--results", str(results), "--queries-per-shard", "2"]
    assert main([*arguments, *shards, "--json", str(in_shards)]) == 0
    expected, found = json.loads(whole.read_text()), json.loads(in_shards.read_text())
    rankings = expected.pop("results")
    assert found == expected
    assert (found["positives_proved"] is None) == (scoring == "embedding")
    rows = read_rows(results)
    for row, ranking in zip(rows, rankings, strict=True):
        for name in ("query_index", "side", "rank", "score", "embedding_score", "log_probability", "proved"):
            assert row[name] == ranking[name], name
    # All rows are there: nothing is ranked again, and the metrics are those of the rows.
    assert main([*arguments, *shards, "--json", str(again)]) == 0
    of_rows = json.loads(again.read_text())
    assert {**of_rows, "pruning": None} == {**expected, "pruning": None}


def test_results_of_other_weights_are_not_gone_on_with(
    scored_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ["--results", str(tmp_path / "rows.jsonl")]
    assert main([*scored_arguments, *FLAGS["hybrid"], *results]) == 0
    assert main([*scored_arguments, *FLAGS["hybrid"][:2], "--weight", "2", *results]) == 2
    assert "hybrid is {'weight': 0.75, 'bonus': None, 'penalty': 2.5} there and" in capsys.readouterr().err
    other = ["--results", str(tmp_path / "other.jsonl")]
    assert main([*scored_arguments, *FLAGS["embedding"], *other]) == 0
    assert main(["compare", results[1], other[1]]) == 2
    assert "scoring is 'hybrid' in A and 'embedding' in B" in capsys.readouterr().err
