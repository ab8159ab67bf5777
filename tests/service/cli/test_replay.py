"""``proofrank replay`` agrees with a recording of the reference, and says where one differs from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.replay import state_names
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_as_deepprooflog
from proofrank.service.cli.main import main

Record = dict[str, Any]


def record(
    reference: ReferenceEvaluator, family: Dataset, candidate: Candidate, *, with_trace: bool
) -> Record:
    """What a recording says of a candidate, by the reference."""
    outcome = reference.prove(candidate, with_trace=True)
    head, relation, tail = family.names(candidate.triple)
    fields: Record = {
        "candidate": [relation, head, tail],
        "success": outcome.success,
        "logp": outcome.log_probability,
        "steps": outcome.steps,
        "actions": list(outcome.actions),
        "near_tie": outcome.passes_near_tie,
    }
    return {**fields, "trace": trace_of(outcome, family)} if with_trace else fields


def trace_of(outcome: Outcome, family: Dataset) -> list[Record]:
    """The steps of an outcome as recordings write them."""
    return [
        {
            "state": state_names(step.state, family),
            "n_actions": len(step.actions),
            "chosen": state_names(step.actions[step.chosen], family),
            "logp": step.log_probability,
        }
        for step in outcome.trace or ()
    ]


@pytest.fixture
def recording(
    reference: ReferenceEvaluator, family: Dataset, family_folder: Path, policy_folder: Path, tmp_path: Path
) -> Path:
    """A recording by the reference, with the first candidate of each query traced; data beside its parent."""
    shutil.copytree(family_folder, tmp_path / "data" / "family")
    folder = tmp_path / "recordings" / "family-untrained"
    shutil.copytree(policy_folder, folder)
    queries = corrupted_queries(family.splits["test"], ("head", "tail"), Corruptor(family))
    lines = []
    for query in queries:
        head, relation, tail = family.names(query.triple)
        candidates = [
            record(reference, family, candidate, with_trace=index == 0)
            for index, candidate in enumerate(query.candidates)
        ]
        lines.append({"query": [relation, head, tail], "side": query.side, "candidates": candidates})
    reciprocal = []
    for side in ("head", "tail"):
        of_side = [line for line in lines if line["side"] == side]
        scores = [
            [item["logp"] - 100 * (not item["success"]) for item in line["candidates"]] for line in of_side
        ]
        for line, rank in zip(of_side, rank_as_deepprooflog(scores), strict=True):
            line["rank_random_seed0"] = rank
            reciprocal.append(1 / rank)
    (folder / "config.json").write_text(json.dumps({"dataset": "family", "split": "test"}))
    (folder / "metrics.json").write_text(json.dumps({"mrr_mean": sum(reciprocal) / len(reciprocal)}))
    write_lines(folder, lines)
    return folder


def read_lines(folder: Path) -> list[Record]:
    """The queries of a recording."""
    text = (folder / "candidates.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_lines(folder: Path, lines: list[Record]) -> None:
    """Replaces the queries of a recording."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "candidates.jsonl").write_text(text, encoding="utf-8")


def some_candidate(lines: list[Record], *, is_near_tie: bool) -> Record:
    """A candidate without a trace that had a choice at its first step."""
    return next(
        candidate
        for line in lines
        for candidate in line["candidates"]
        if "trace" not in candidate and candidate["near_tie"] == is_near_tie and candidate["logp"] != 0
    )


def test_a_recording_of_the_reference_is_reproduced(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording)]) == 0
    printed = capsys.readouterr().out.splitlines()
    total = sum(len(line["candidates"]) for line in read_lines(recording))
    assert printed[0].startswith(f"family-untrained: {total} candidates, engine original, freely, ")
    assert printed[1] == f"agree {total}, near ties that went another way 0, differ 0"
    assert printed[2].startswith("recorded outcomes give 6 of 6 recorded ranks and MRR ")
    ours, theirs = printed[2].split("MRR ")[1].split(", recorded ")
    assert ours == theirs


def test_a_recording_is_reproduced_along_its_actions(
    recording: Path, family_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--follow", "--data", str(family_folder.parent)]) == 0
    assert "along the recorded actions" in capsys.readouterr().out


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_one_changed_action_is_a_divergence_that_is_named(
    recording: Path, capsys: pytest.CaptureFixture[str], follow: list[str]
) -> None:
    lines = read_lines(recording)
    changed = some_candidate(lines, is_near_tie=False)
    changed["actions"][0] = 1 if changed["actions"][0] == 0 else 0
    write_lines(recording, lines)
    assert main(["replay", str(recording), *follow]) == 1
    printed = capsys.readouterr().out.splitlines()
    relation, head, tail = changed["candidate"]
    assert printed[1].endswith("differ 1")
    assert printed[3].startswith(f"first divergence: candidate {relation}({head}, {tail}): ")
    if not follow:
        assert f"step 0: state [{relation}({head}, {tail})]" in printed[3]
        assert f"recorded {changed['actions'][0]}" in printed[3]


def test_another_number_of_steps_is_a_divergence(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = read_lines(recording)
    changed = some_candidate(lines, is_near_tie=False)
    changed["steps"] += 1
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 1
    assert f"{changed['steps'] - 1} steps, recorded {changed['steps']}" in capsys.readouterr().out


def test_another_way_at_a_near_tie_is_excused_but_not_along_the_recorded_actions(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = read_lines(recording)
    changed = some_candidate(lines, is_near_tie=False)
    changed["near_tie"] = True
    changed["logp"] -= 1.0
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 0
    assert "near ties that went another way 1, differ 0" in capsys.readouterr().out
    assert main(["replay", str(recording), "--follow"]) == 1
    assert "log-probability" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("state", lambda state: [*state, ["parent", "anna", "ben"]], "state ["),
        ("n_actions", lambda number: number + 1, "actions, recorded"),
        ("chosen", lambda _: [["Endf"]], "chose ["),
        ("logp", lambda logp: logp - 0.01, "log-probability"),
    ],
)
def test_one_changed_step_of_a_trace_is_a_divergence_that_is_named(
    recording: Path, capsys: pytest.CaptureFixture[str], field: str, change: Any, message: str
) -> None:
    lines = read_lines(recording)
    lines[0]["candidates"][0]["near_tie"] = False
    step = lines[0]["candidates"][0]["trace"][1]
    step[field] = change(step[field])
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 1
    divergence = capsys.readouterr().out.splitlines()[3]
    assert "step 1: " in divergence
    assert message in divergence


def test_a_success_that_was_not_recorded_is_not_compared(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = read_lines(recording)
    changed = some_candidate(lines, is_near_tie=False)
    changed["success"] = not changed["success"]
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 1
    assert f"success {not changed['success']}, recorded {changed['success']}" in capsys.readouterr().out
    changed["success_recorded"] = False
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 0


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_every_outcome_is_written_as_an_object_a_line_in_the_order_of_the_recording(
    recording: Path, tmp_path: Path, follow: list[str]
) -> None:
    path = tmp_path / "outcomes.jsonl"
    assert main(["replay", str(recording), *follow, "--out", str(path)]) == 0
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    expected = [
        (line["query"], line["side"], candidate)
        for line in read_lines(recording)
        for candidate in line["candidates"]
    ]
    assert len(written) == len(expected)
    for item, (query, side, candidate) in zip(written, expected, strict=True):
        assert list(item) == ["query", "side", "candidate", "success", "logp", "steps", "actions"]
        assert (item["query"], item["side"]) == (query, side)
        for name in ("candidate", "success", "steps", "actions"):
            assert item[name] == candidate[name]
        assert item["logp"] == pytest.approx(candidate["logp"], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "'dataset' is None; expected a name"),
        ("config.json", '{"dataset": "famly"}', "famly: no such folder; expected a dataset folder"),
        ("config.json", '{"dataset": "family", "max_depth": 0}', "prover setting max_depth is 0"),
        ("config.json", "[", "not JSON"),
        ("candidates.jsonl", "{}", "candidates.jsonl:1: "),
        ("policy.safetensors", "", "not a safetensors file"),
    ],
)
def test_a_bad_recording_is_refused_with_what_was_expected(
    recording: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str
) -> None:
    (recording / name).write_text(content, encoding="utf-8")
    assert main(["replay", str(recording)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("proofrank: ")
    assert message in error


def test_a_folder_without_a_recording_is_refused_with_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        "config.json: cannot be read: No such file or directory; expected the folder of a recorded" in error
    )


def test_an_unknown_name_in_a_recording_is_told_with_the_nearest_known_ones(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = read_lines(recording)
    lines[2]["candidates"][1]["candidate"][1] = "annna"
    write_lines(recording, lines)
    assert main(["replay", str(recording)]) == 2
    assert "unknown constant 'annna'; did you mean 'anna'" in capsys.readouterr().err


def test_an_output_file_that_cannot_be_written_is_refused_before_the_work(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"proofrank: --out {tmp_path}: cannot be written: ")
    assert printed.out == ""
