"""``proofrank check`` says what it understood of a dataset, and ends with a status that a script can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.service.cli.main import main
from tests.helpers.datasets import write_dataset
from tests.helpers.family import write_untrained_policy

TRAIN = (
    "anna\tbornIn\tmunich",
    "munich\tlocatedIn\tgermany",
    "clara\tcitizenOf\tgermany",
    "clara\tspeaks\tgerman",
)
RULES = ("r1:0.5:bornIn(X,Z), locatedIn(Z,Y) -> citizenOf(X,Y)", "r2:1:speaks(X,german) -> speaks(X,german)")
TEST = (
    "anna\tcitizenOf\tgermany",  # a head matches
    "anna\tspeaks\tgerman",  # one with a constant
    "anna\tspeaks\tfrench",  # not that constant; and no fact has it
    "munich\tlocatedIn\tbavaria",  # no rule; and no fact has it
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset without a warning."""
    write_dataset(tmp_path / "towns", TRAIN, RULES, test=TEST)
    return tmp_path / "towns"


def check(folder: Path, *options: str) -> tuple[int, dict]:
    """The status, and what was written."""
    written = folder.parent / "check.json"
    return main(["check", "--dataset", str(folder), "--json", str(written), *options]), json.loads(
        written.read_text()
    )


def test_what_was_understood_is_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, written = check(folder, "--policy", "untrained")

    assert (status, written["status"], written["error"], written["warnings"]) == (0, 0, None, [])
    assert written["relations"]["speaks"] == {"facts": 1, "rules": 1, "valid": 0, "test": 2}
    assert written["relations_without_rules"] == ["bornIn", "locatedIn"]
    assert (written["test_triples"], written["test_triples_with_a_rule"]) == (4, 2)
    assert written["test_triples_with_a_constant_of_no_fact"] == 2
    assert {file["format"] for file in written["files"]} == {"tab-separated", "empty", "proofrank"}
    printed = capsys.readouterr().out
    assert "rules.txt: 2 rules, proofrank" in printed
    assert "the head of a rule matches 2 of 4 test triples (50.0%)" in printed
    assert "policy untrained (" in printed
    assert printed.endswith("0 warnings\n")


def test_files_that_are_not_read_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder)[1]["not_read"] == []
    assert "not read" not in capsys.readouterr().out
    for name in ("entity2id.txt", "train_2.txt", "test_depths.txt", "relations.dict"):
        (folder / name).write_text("", encoding="utf-8")

    assert check(folder)[1]["not_read"] == ["entity2id.txt", "relations.dict", "train_2.txt"]
    assert "not read: entity2id.txt, relations.dict, train_2.txt\n" in capsys.readouterr().out


def test_evaluate_says_how_many_triples_no_rule_concludes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--dataset", str(folder), "--policy", "untrained", "--engine", "eager"]
    assert main(arguments) == 0
    assert "; no rule concludes 2 of 4 triples, which cannot be proved\n" in capsys.readouterr().err

    write_dataset(folder, TRAIN, RULES, test=TEST[:2])
    assert main(arguments) == 0
    assert "no rule concludes" not in capsys.readouterr().err


def test_warnings_end_with_status_1_and_with_strict_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(folder, [*TRAIN, TRAIN[0]], RULES)
    status, written = check(folder)
    assert (status, [(w["kind"], w["count"]) for w in written["warnings"]]) == (1, [("duplicate-triple", 1)])
    assert "warning: " in capsys.readouterr().out

    status, written = check(folder, "--strict")
    assert status == written["status"] == 2
    assert "1 duplicate triple dropped" in written["error"]
    assert "1 duplicate triple dropped" in capsys.readouterr().err


def test_what_cannot_be_used_ends_with_status_2(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(other, ["a\tp\tb"], ["p(X,Y) :- p(Y,X)."])
    policy = write_untrained_policy(tmp_path / "policy", other)
    status, written = check(folder, "--policy", str(policy))
    assert status == 2
    assert "does not fit dataset 'towns'" in written["error"]

    (folder / "rules.txt").write_text("nonsense\n", encoding="utf-8")
    status, written = check(folder)
    assert status == 2
    assert "rules.txt:1: no rule in 'nonsense'" in written["error"]


def test_an_untrained_policy_is_the_same_for_the_same_seed(folder: Path) -> None:
    dataset = load_dataset(folder)
    policies = [load_policy(source, dataset) for source in ("untrained", "untrained:0", "untrained:1")]

    assert [policy.name for policy in policies] == ["untrained", "untrained", "untrained-1"]
    assert policies[0].content_hash == policies[1].content_hash != policies[2].content_hash


def test_evaluate_ranks_by_an_untrained_policy_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rules.txt").write_text(RULES[0], encoding="utf-8")
    write_dataset(folder, [*TRAIN, TRAIN[0]], RULES[:1], test=TEST[:1])
    written = folder.parent / "metrics.json"
    arguments = ["evaluate", "--dataset", str(folder), "--policy", "untrained:3", "--engine", "original"]
    assert main([*arguments, "--json", str(written)]) == 0
    metrics = json.loads(written.read_text())

    assert metrics["policy"]["name"] == "untrained-3"
    assert [warning["kind"] for warning in metrics["warnings"]] == ["duplicate-triple"]
    printed = capsys.readouterr()
    assert "policy untrained-3, engine original" in printed.out
    assert "random weights, nothing is trained" in printed.err
    assert "rules.txt: 1 rule, proofrank" in printed.err
    assert "warning: " in printed.err

    assert main([*arguments, "--explain", "anna", "citizenOf", "germany"]) == 0
    assert "[rule r1, weight 0.5]" in capsys.readouterr().out
