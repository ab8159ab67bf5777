"""``proofrank diff`` compares the candidates that ``proofrank evaluate`` ranks, wherever their data set lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator
from proofrank.core.prover import Candidate, Outcome
from proofrank.service.cli.main import main


class Call(NamedTuple):
    """One call of an engine."""

    engine: str
    candidates: list[Candidate]
    num_threads: int


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Filled with the calls of engines, which go on as they would."""
    made: list[Call] = []

    def watch(kind: type[ReferenceEvaluator] | type[CompiledEvaluator]) -> None:
        evaluate = kind.evaluate

        def watched(evaluator: Any, candidates: Sequence[Candidate], **options: Any) -> list[Outcome]:
            made.append(Call(evaluator.engine, list(candidates), torch.get_num_threads()))
            return list(evaluate(evaluator, candidates, **options))

        monkeypatch.setattr(kind, "evaluate", watched)

    watch(ReferenceEvaluator)
    watch(CompiledEvaluator)
    return made


@pytest.mark.parametrize(
    "draw",
    [
        ["--queries", "3", "--seed", "5", "--corruptions", "4"],
        ["--queries", "2", "--seed", "1", "--corruptions", "all", "--side", "tail", "--split", "train"],
        ["--queries", "2", "--corruptions", "6", "--side", "head", "--unfiltered"],
    ],
    ids=["sample", "all corruptions of a train sample", "unfiltered"],
)
def test_the_same_options_draw_the_candidates_that_evaluate_ranks(
    draw: list[str], family_folder: Path, policy_folder: Path, calls: list[Call]
) -> None:
    common = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--threads", "1", *draw]

    assert main(["evaluate", *common, "--engine", "original", "--pruning", "none"]) == 0
    assert main(["diff", *common, "--engine", "eager", "--against", "original"]) == 0

    ranked, *compared = [call.candidates for call in calls]
    assert compared == [ranked, ranked]
    assert len(ranked) > 4


@pytest.mark.parametrize("engines", [("original", "eager"), ("eager", "original")])
def test_each_engine_computes_with_one_thread(
    engines: tuple[str, str], family_folder: Path, policy_folder: Path, calls: list[Call]
) -> None:
    torch.set_num_threads(2)
    common = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--queries", "1"]

    assert main(["diff", *common, "--engine", engines[0], "--against", engines[1], "--threads", "1"]) == 0

    assert [(call.engine, call.num_threads) for call in calls] == [(engine, 1) for engine in engines]


def test_the_data_set_of_a_recording_may_lie_elsewhere(
    family_folder: Path, policy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(family_folder, tmp_path / "elsewhere" / "family")
    folder = tmp_path / "recording"
    shutil.copytree(policy_folder, folder)
    (folder / "config.json").write_text(json.dumps({"dataset": "family"}))
    lines = (family_folder / "test.txt").read_text().splitlines()
    relation, _, arguments = lines[0].rstrip(".").removesuffix(")").partition("(")
    query = [relation, *arguments.split(",")]
    candidate = {"candidate": query, "success": True, "logp": 0.0, "steps": 1, "actions": [0]}
    (folder / "candidates.jsonl").write_text(
        json.dumps({"query": query, "side": "tail", "candidates": [candidate]}) + "\n"
    )

    assert main(["diff", "--recording", str(folder)]) == 2
    assert str(tmp_path.parent / "data" / "family") in capsys.readouterr().err
    assert main(["diff", "--recording", str(folder), "--data", str(tmp_path / "elsewhere")]) == 0
    assert "1 candidate, engines eager and original: 0 outcomes differ" in capsys.readouterr().out
