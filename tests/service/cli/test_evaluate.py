"""``proofrank evaluate`` prints and writes the metrics of a split, or the proof of one triple."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries, report, sides_of
from proofrank.service.cli.main import main
from tests.helpers.datasets import write_dataset
from tests.helpers.family import NUM_CONSTANTS
from tests.helpers.result_rows import read_rows
from tests.helpers.serving import REPOSITORY
from tests.helpers.told import without_reading

METRICS = {
    "mrr",
    "hits@1",
    "hits@3",
    "hits@10",
    "mean_rank",
    "adjusted_mean_rank_index",
    "positives_proved",
    "corruptions_proved",
    "rankings",
    "queries",
    "candidates",
    "seconds",
}


@pytest.fixture
def arguments(evaluate_arguments: list[str]) -> list[str]:
    """The start of a command line."""
    return evaluate_arguments


def without_seconds(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without the time that they took."""
    return {
        name: without_seconds(value) if isinstance(value, dict) else value
        for name, value in metrics.items()
        if name != "seconds"
    }


def test_a_relation_that_is_named_seconds_keeps_its_metrics_without_times(tmp_path: Path) -> None:
    write_dataset(
        tmp_path / "clock",
        ["seconds(a,b).", "seconds(b,c).", "minutes(a,b)."],
        ["minutes(X,Y) -> seconds(X,Y)"],
        test=["seconds(a,c).", "minutes(b,c)."],
    )
    options = ["--dataset", str(tmp_path / "clock"), "--policy", "untrained", "--engine", "original"]
    written = ["--json", str(tmp_path / "metrics.json"), "--without-seconds"]

    assert main(["evaluate", *options, *written]) == 0

    content = json.loads((tmp_path / "metrics.json").read_text())
    assert set(content["by_relation"]) == {"minutes", "seconds"}
    assert "seconds" not in content
    assert "seconds" not in content["by_relation"]["seconds"]
    assert content["by_relation"]["seconds"]["rankings"] == 2


@pytest.mark.parametrize("side", ["head", "tail", "both"])
def test_the_written_metrics_are_those_of_the_reference_in_this_process(
    arguments: list[str],
    tmp_path: Path,
    family: Dataset,
    reference: ReferenceEvaluator,
    side: str,
) -> None:
    path = tmp_path / "metrics.json"
    options = ["--side", side, "--corruptions", "3", "--seed", "5", "--ties", "pessimistic"]
    assert main([*arguments, *options, "--json", str(path)]) == 0
    corruptor = Corruptor(family, number=3, seed=5)
    queries = corrupted_queries(family.splits["test"], sides_of(side), corruptor)
    expected = report(rank_queries(reference, queries, seed=5), family, "pessimistic").to_dict()
    written = json.loads(path.read_text())
    assert written.pop("dataset") == {"name": "family", "sha256": family.content_hash}
    assert written.pop("policy")["name"] == "untrained"
    assert written.pop("warnings") == []
    assert written.pop("pruning")["level"] == "exact"
    assert written.pop("protocol") == {
        "split": "test",
        "limit": None,
        "side": side,
        "corruptions": 3,
        "filtered": True,
        "ties": "pessimistic",
        "seed": 5,
        "scoring": "proof",
        "beam": 1,
        "beam_score": "max",
    }
    assert written.pop("scoring") == {"kind": "proof"}
    assert without_seconds(written) == without_seconds(expected)


def test_the_written_metrics_have_the_same_form_overall_by_side_and_by_relation(
    arguments: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "metrics.json"
    assert main([*arguments, "--corruptions", "all", "--json", str(path)]) == 0
    metrics = json.loads(path.read_text())
    beside = {"by_side", "by_relation", "dataset", "policy", "warnings", "pruning", "protocol", "scoring"}
    assert set(metrics) == METRICS | beside
    assert set(metrics["by_side"]) == {"head", "tail"}
    assert set(metrics["by_relation"]) == {"ancestor", "parent"}
    for part in (*metrics["by_side"].values(), *metrics["by_relation"].values()):
        assert set(part) == METRICS
    assert metrics["queries"] == 3
    assert metrics["rankings"] == 6
    assert metrics["candidates"] <= 6 * NUM_CONSTANTS
    assert metrics["seconds"] > 0
    assert 0 < metrics["mrr"] <= 1


@pytest.mark.parametrize("level", ["none", "exact", "ranks"])
def test_pruning_leaves_ranks_as_they_are_and_says_what_it_left_out(
    level: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, pruned = tmp_path / "whole.json", tmp_path / "pruned.json"
    assert main([*arguments, "--corruptions", "all", "--pruning", "none", "--json", str(whole)]) == 0
    capsys.readouterr()
    assert main([*arguments, "--corruptions", "all", "--pruning", level, "--json", str(pruned)]) == 0

    expected, written = json.loads(whole.read_text()), json.loads(pruned.read_text())
    counts = written.pop("pruning")
    assert counts.pop("level") == level
    assert expected.pop("pruning") == {"level": "none"}
    assert ("pruning: " in capsys.readouterr().err) == (level != "none") == bool(counts)
    if counts:
        assert counts["evaluated"] + counts["unprovable"] + counts["fallen_behind"] == written["candidates"]
        assert counts["unprovable"] > 0
    if level == "ranks":
        for part in (written, *written["by_side"].values(), *written["by_relation"].values()):
            assert part.pop("corruptions_proved") is None
        for part in (expected, *expected["by_side"].values(), *expected["by_relation"].values()):
            part.pop("corruptions_proved")
    assert without_seconds(written) == without_seconds(expected)


@pytest.mark.parametrize(
    ("floors", "status", "told"),
    [
        (["mrr=0.01"], 0, []),
        (["mrr=1.0"], 1, ["mrr is 0.", "--fail-below asks for 1 or more"]),
        (["hits@10=0.1", "hits@1=1", "positives_proved=1"], 1, ["hits@1 is ", "positives_proved is "]),
    ],
)
def test_metrics_below_their_floors_fail_the_command_after_the_table(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    floors: list[str],
    status: int,
    told: list[str],
) -> None:
    assert main([*arguments, *(part for floor in floors for part in ("--fail-below", floor))]) == status
    printed = capsys.readouterr()
    assert "MRR" in printed.out
    assert all(part in printed.err for part in told)
    assert ("hits@10 is" in printed.err) is False
    assert ("--fail-below" in printed.err) == bool(status)


def test_a_metric_that_is_not_defined_is_below_every_floor(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    floor = ["--corruptions", "0", "--fail-below", "adjusted_mean_rank_index=-1"]
    assert main([*arguments, *floor]) == 1
    assert "adjusted_mean_rank_index is not defined here" in capsys.readouterr().err


def test_an_evaluation_in_shards_is_held_to_its_floors_too(arguments: list[str], tmp_path: Path) -> None:
    assert main([*arguments, "--results", str(tmp_path / "rows.jsonl"), "--fail-below", "mrr=1.0"]) == 1


def test_rankings_are_for_a_json_file_without_shards(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ([], ["--json", str(tmp_path / "m.json"), "--results", str(tmp_path / "rows.jsonl")]):
        assert main([*arguments, "--rankings", *options]) == 2
        assert "--rankings is for --json without shards" in capsys.readouterr().err


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_pruned_shards_write_the_rows_of_whole_ones(
    arguments: list[str], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def written(level: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        rows, path = tmp_path / f"{level}{suffix}", tmp_path / f"{level}.json"
        options = ["--results", str(rows), "--queries-per-shard", "1", "--json", str(path)]
        assert main([*arguments, "--without-seconds", *options, "--pruning", level]) == 0
        return read_rows(rows), json.loads(path.read_text())

    whole, whole_report = written("none")
    exact, exact_report = written("exact")
    by_ranks, ranks_report = written("ranks")

    assert without(exact, "seconds") == without(whole, "seconds")
    assert without(by_ranks, "seconds", "corruptions_proved") == without(
        whole, "seconds", "corruptions_proved"
    )
    assert {row["corruptions_proved"] for row in by_ranks} == {None}
    assert exact_report.pop("pruning")["unprovable"] > 0
    assert whole_report.pop("pruning") == {"level": "none"}
    assert exact_report == whole_report
    assert ranks_report["corruptions_proved"] is None
    assert ranks_report["mrr"] == whole_report["mrr"]
    assert "pruning: " in capsys.readouterr().err


def test_a_pruned_file_of_results_is_gone_on_with_and_says_what_is_not_known(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, path = tmp_path / "rows.jsonl", tmp_path / "report.json"
    command = [*arguments, "--results", str(rows), "--json", str(path), "--without-seconds"]
    assert main([*command, "--pruning", "none"]) == 0
    whole = json.loads(path.read_text())
    lines = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(b"".join(lines[:2]))

    assert main(command) == 0

    resumed = json.loads(path.read_text())
    counts = resumed.pop("pruning")
    assert counts.pop("level") == "exact"
    assert set(counts.values()) == {None}
    assert resumed == {name: value for name, value in whole.items() if name != "pruning"}

    assert main([*command, "--pruning", "ranks"]) == 2
    assert "pruning is None there and 'ranks' here" in capsys.readouterr().err


def test_a_table_shows_the_metrics_overall_per_side_and_per_relation(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("family test, policy untrained, engine original")
    rows = [line.split()[0] for line in printed.splitlines() if line.strip()]
    for row in ("MRR", "all", "head", "tail", "ancestor", "parent"):
        assert row in rows
    assert "3 queries, " in printed


def test_a_sample_of_a_split_is_seeded(arguments: list[str], tmp_path: Path) -> None:
    def sampled(seed: int) -> dict[str, Any]:
        path = tmp_path / "metrics.json"
        options = ["--split", "train", "--queries", "2", "--seed", str(seed), "--json", str(path)]
        assert main([*arguments, *options]) == 0
        return without_seconds(json.loads(path.read_text()))

    assert sampled(0)["queries"] == 2
    assert sampled(0) == sampled(0)
    assert len({json.dumps(sampled(seed)) for seed in range(5)}) > 1


def test_unfiltered_corruptions_may_be_known_triples(arguments: list[str], tmp_path: Path) -> None:
    def num_candidates(*options: str) -> int:
        path = tmp_path / "metrics.json"
        assert main([*arguments, "--corruptions", "all", *options, "--json", str(path)]) == 0
        return json.loads(path.read_text())["candidates"]

    assert num_candidates("--unfiltered") == 6 * NUM_CONSTANTS
    assert num_candidates() < 6 * NUM_CONSTANTS


def test_a_prover_setting_goes_over_that_of_the_policy(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    assert main([*arguments, "--split", "test", "--max-depth", "1", "--json", str(path)]) == 0
    # ancestor(anna, Zoë) takes more than one step; nothing in the test split can be proved in one.
    assert json.loads(path.read_text())["positives_proved"] == 0


def test_explain_prints_the_proof_as_a_tree(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--explain", "anna", "ancestor", "Zoë"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ancestor(anna, Zoë)  [rule further]  p=")
    assert lines[1].startswith("├─ parent(anna, eva)  [fact]")
    assert lines[2].startswith("└─ ancestor(eva, Zoë)  [rule direct]")
    assert lines[3].strip() == "└─ parent(eva, Zoë)  [known fact]"
    assert lines[-1].startswith("proved: ")


def test_explain_does_not_let_a_known_triple_prove_itself(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--explain", "anna", "parent", "ben"]) == 0
    assert "not proved, nothing left to try" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--corruptions", "2"],
            "ranking test, side both: against 2 corruptions a side from {}, filtered, realistic ties",
        ),
        (
            ["--corruptions", "all", "--side", "tail", "--unfiltered", "--ties", "random"],
            "ranking test, side tail: against all corruptions a side from {}, unfiltered, random ties",
        ),
        (
            ["--protocol", "sampled-3", "--mrr-tolerance", "0.1"],
            "ranking test, side both: against 3 corruptions a side from all constants, filtered, realistic ties, "
            "protocol sampled-3",
        ),
    ],
)
def test_it_says_what_is_ranked_against_what(
    arguments: list[str], family: Dataset, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main([*arguments, *options]) == 0
    source = "the domains" if family.domains else "all constants"
    told = f"{words.format(source)}; no rule concludes 1 of 3 triples, which cannot be proved"
    assert told in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--explain", "ana", "ancestor", "Zoë"], "unknown constant 'ana'; did you mean 'anna'"),
        (["--explain", "anna", "ancester", "Zoë"], "unknown predicate 'ancester'; did you mean 'ancestor'"),
        (["--engine", "orginal"], "unknown engine 'orginal'; did you mean 'original'"),
        (["--max-depth", "0"], "prover setting max_depth is 0; expected at least 1"),
        (["--threads", "0"], "threads is 0; expected at least 1"),
        (["--json", "/proc/no/metrics.json"], "--json /proc/no/metrics.json: cannot be written: "),
        (["--dataset", "/nowhere"], "/nowhere: no such folder; expected a dataset folder"),
        (["--policy", "/nowhere"], "/nowhere: no such folder; expected a checkpoint folder"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main([*arguments, *options]) == 2
    (told,) = without_reading(capsys.readouterr().err).splitlines()
    assert told.startswith(f"proofrank: {message}")


@pytest.mark.parametrize(
    "options",
    [
        ["--corruptions", "many"],
        ["--corruptions", "-1"],
        ["--queries", "0"],
        ["--seed", "-1"],
        ["--side", "left"],
        ["--split", "dev"],
        ["--ties", "best"],
        ["--nonsense"],
        ["--fail-below", "mrr"],
        ["--fail-below", "mean_rank=3"],
        ["--fail-below", "mrr=nan"],
    ],
)
def test_a_bad_option_is_refused_with_its_name(
    arguments: list[str], capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *options])
    assert ended.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_split_without_triples_is_refused(
    arguments: list[str], policy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The same names in another split, so that the policy still fits.
    folder = tmp_path / "untested"
    source = Path(arguments[2])
    folder.mkdir()
    for name in ("valid.txt", "rules.txt"):
        (folder / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "train.txt").write_text((source / "train.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test.txt").write_text("", encoding="utf-8")
    assert main(["evaluate", "--dataset", str(folder), "--policy", str(policy_folder)]) == 2
    assert "split 'test' of dataset 'untested' has no triples to rank" in capsys.readouterr().err


def test_commands_start_without_what_only_the_server_needs() -> None:
    heavy = "{'fastapi', 'prometheus_client', 'ray'}"
    program = f"import sys, proofrank.service.cli.main; print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True)
    assert done.stdout.split() == []
