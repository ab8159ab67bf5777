"""``proofrank provable`` writes which triples have a proof, and ``evaluate`` reads its depths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrank.core.formats.depths import read_depths
from proofrank.core.graph import load_dataset
from proofrank.service.cli.main import main
from tests.helpers.datasets import write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A chain: two test triples with a proof, one of them long, and one without."""
    links = [f"p(n{index},n{index + 1})." for index in range(9)]
    rules = ["p(X,Y) -> v(X,Y)", "p(X,Z), v(Z,Y) -> v(X,Y)"]
    path = tmp_path / "chain"
    write_dataset(path, links, rules, test=["v(n0,n3).", "v(n0,n8).", "v(n3,n0)."])
    return path


def test_the_table_the_depths_and_the_summary(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, depths, summary = (tmp_path / name for name in ("out/table.tsv", "out/depths.txt", "out/sum.json"))

    status = main(
        [
            *("provable", "--dataset", str(folder), "--max-depth", "9", "--table", str(table)),
            *("--depths", str(depths), "--json", str(summary)),
        ]
    )

    assert status == 0
    assert [line.split("\t") for line in table.read_text().splitlines()] == [
        ["head", "relation", "tail", "provable", "fewest_steps", "at_least", "at_most"],
        ["n0", "v", "n3", "yes", "5", "5", "5"],
        ["n0", "v", "n8", "", "", "10", ""],
        ["n3", "v", "n0", "no", "", "", ""],
    ]
    assert list(read_depths(depths).values()) == ["5", "-1", "-1"]
    written = json.loads(summary.read_text())
    assert written["by_depth"] == {"5": 1, "more than 9": 1, "unprovable": 1}
    assert written["share_that_may_be_proved"] == pytest.approx(2 / 3)
    told = capsys.readouterr().out
    assert "chain test: 3 triples, 1 have a proof, 1 have none, 1 are not known" in told
    assert "highest MRR of any policy: " in told


def test_evaluate_divides_its_metrics_by_the_depths_beside_the_dataset(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.json"
    arguments = ["evaluate", "--dataset", str(folder), "--policy", "untrained", "--json", str(path)]
    assert main(arguments) == 0
    assert "by_depth" not in json.loads(path.read_text())
    assert main(["provable", "--dataset", str(folder), "--depths", str(folder / "test_depths.txt")]) == 0
    capsys.readouterr()

    assert main(arguments) == 0

    by_depth = json.loads(path.read_text())["by_depth"]
    assert {name: part["queries"] for name, part in by_depth.items()} == {"5": 1, "15": 1, "unprovable": 1}
    assert by_depth["unprovable"]["positives_proved"] == 0
    assert "depth 15" in capsys.readouterr().out
    for _ in ("in shards", "from the file of results"):
        in_shards = [*arguments, "--results", str(tmp_path / "ranks.jsonl"), "--queries-per-shard", "2"]
        assert main(in_shards) == 0
        assert _without_seconds(json.loads(path.read_text())["by_depth"]) == _without_seconds(by_depth)
        assert "depth 15" in capsys.readouterr().out
    assert main([*arguments, "--mrr-tolerance", "0.3"]) == 0
    assert set(json.loads(path.read_text())["by_depth"]) == {"5", "15", "unprovable"}
    assert load_dataset(folder).splits["test"]


def _without_seconds(parts: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {metric: value for metric, value in part.items() if metric != "seconds"}
        for name, part in parts.items()
    }


def test_an_empty_split_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provable", "--dataset", str(folder), "--split", "valid"]) == 2
    assert "split 'valid' of dataset 'chain' has no triples" in capsys.readouterr().err
