"""Which engine is the faster one: what is kept, what is refused, and who is asked."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from proofrank.core.default import DATASET, POLICY
from proofrank.core.errors import DatasetError, EvaluationError
from proofrank.core.evaluator import settings_for
from proofrank.core.evaluator.engine_choice import (
    AT_ONCE,
    COMPILED,
    EngineChoice,
    EngineQuestion,
    check_agreement,
)
from proofrank.core.evaluator.engine_choice_process import DatasetSource, EngineChoiceProcess, NoAnswer
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import Outcomes


def question_in(folder: Path, *, lanes: int = 4) -> EngineQuestion:
    dataset = load_dataset(DATASET)
    policy = load_policy(POLICY, dataset)
    return EngineQuestion(dataset, policy, settings_for(policy), (lanes,), cache_folder=folder)


def outcomes(success: list[bool], steps: list[int]) -> Outcomes:
    made = Outcomes.unprovable(len(success))
    made.success, made.steps = np.array(success), np.array(steps)
    return made


def test_only_a_gain_that_timings_can_tell_counts() -> None:
    assert EngineChoice(0.97).pays
    assert not EngineChoice(0.98).pays
    assert not EngineChoice(1.5).pays


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf"), 1, "0.5", None])
def test_a_ratio_that_is_none_is_refused(ratio: object) -> None:
    with pytest.raises(EvaluationError, match="expected a number above 0"):
        EngineChoice(ratio)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "found", [outcomes([True, True], [3, 4]), outcomes([True, False], [3, 5])], ids=["proved", "steps"]
)
def test_an_engine_that_proves_otherwise_is_not_used(found: Outcomes) -> None:
    expected = outcomes([True, False], [3, 4])
    check_agreement(expected, expected, COMPILED)
    with pytest.raises(EvaluationError, match="proves 1 of 2 candidates otherwise"):
        check_agreement(expected, found, COMPILED)


def test_an_answer_is_found_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []

    def measure(_: EngineQuestion) -> EngineChoice:
        measured.append(0.75)
        return EngineChoice(0.75)

    monkeypatch.setattr(EngineQuestion, "_measured", measure)
    question = question_in(tmp_path)
    assert question.kept_answer() is None
    assert question.answer() == question.answer() == question_in(tmp_path).kept_answer()
    assert len(measured) == 1
    assert question_in(tmp_path, lanes=8).kept_answer() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"ratio": -1.0}', '{"ratio": "1"}', "9" * 5000])
def test_a_damaged_answer_is_found_anew_with_a_warning(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineQuestion, "_measured", lambda _: EngineChoice(0.75))
    question = question_in(tmp_path)
    question.answer()
    (file,) = tmp_path.glob("engine-choice-*.json")
    file.write_text(content)
    with caplog.at_level(logging.WARNING, "proofrank"):
        assert question.kept_answer() is None
    assert "is damaged" in caplog.text
    assert question.answer() == EngineChoice(0.75)
    assert question.kept_answer() == EngineChoice(0.75)


def test_where_nothing_can_be_compiled_there_is_no_answer(tmp_path: Path) -> None:
    # Without a compiler another engine comes to this one.
    question = dataclasses.replace(question_in(tmp_path), other=AT_ONCE)
    with pytest.raises(EvaluationError, match="no compiler"):
        question.answer()
    assert not list(tmp_path.glob("engine-choice-*.json"))


def test_the_process_refuses_a_graph_that_has_changed(tmp_path: Path) -> None:
    question = question_in(tmp_path)
    source = DatasetSource(DATASET, None, "0" * 64)
    with pytest.raises(DatasetError, match="have changed"):
        source.load()
    process = EngineChoiceProcess(question, source, 1)
    try:
        answer = process.answer()
    finally:
        process.close()
    assert isinstance(answer, NoAnswer)
    assert "have changed since the dataset was read" in answer.reason


def test_a_process_that_is_ended_gives_no_answer(tmp_path: Path) -> None:
    question = question_in(tmp_path)
    process = EngineChoiceProcess(question, DatasetSource(DATASET, None, question.dataset.content_hash), 1)
    process.close()
    answer = process.answer()
    assert isinstance(answer, NoAnswer)
    assert "its process has ended" in answer.reason
