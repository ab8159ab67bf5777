"""The figures of a benchmark run survive its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.device.record import LeftOut, Record, Row, markdown
from proofrank.core.errors import EvaluationError


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["stages"]


def failing() -> Row:
    raise ValueError("broken")


def test_a_stage_that_fails_keeps_its_rows_and_lets_the_next_one_run(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    record = Record(path, {"device": "cpu"})

    def first() -> None:
        record.add("rows", {"lanes": 4})
        raise ValueError("broken")

    record.run_stage("first", first, seconds=10)
    record.run_stage("second", lambda: record.add("rows", {"lanes": 8}), seconds=10)

    stages = read(path)
    assert stages["first"]["status"] == "failed"
    assert stages["first"]["reason"] == "ValueError: broken"
    assert stages["first"]["tables"] == {"rows": [{"lanes": 4}]}
    assert stages["second"]["status"] == "done"
    assert record.has_failed


def test_a_row_is_in_the_file_before_its_stage_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    record = Record(path, {})
    seen: list[Any] = []

    def measure() -> None:
        record.add("rows", {"lanes": 4})
        seen.append(read(path)["stage"])

    record.run_stage("stage", measure, seconds=10)

    assert seen[0]["tables"] == {"rows": [{"lanes": 4}]}
    assert seen[0]["status"] == "running"


@pytest.mark.parametrize(
    ("error", "column"),
    [
        (LeftOut("needs a card"), "left out"),
        (EvaluationError("the policy gave a logit that is not finite"), "error"),
        (torch.OutOfMemoryError("tried to allocate 9 GiB"), "error"),
        (ValueError("broken"), "error"),
    ],
)
def test_a_row_that_cannot_be_measured_has_the_reason(tmp_path: Path, error: Exception, column: str) -> None:
    record = Record(tmp_path / "gpu.json", {})

    def raising() -> Row:
        raise error

    record.run_stage("stage", lambda: record.measure("rows", {"lanes": 4}, raising), seconds=10)

    [row] = record.stages["stage"]["tables"]["rows"]
    assert row["lanes"] == 4
    assert str(error) in row[column]
    assert record.has_failed is (column == "error")


def test_a_row_for_which_no_time_is_left_is_not_begun(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.json", {})

    record.run_stage("stage", lambda: record.measure("rows", {}, failing), seconds=0)

    [row] = record.stages["stage"]["tables"]["rows"]
    assert "--minutes" in row["left out"]
    assert not record.has_failed


def test_what_does_not_agree_fails_the_run(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.json", {})

    record.run_stage("stage", lambda: record.add("rows", {"agrees": False}), seconds=10)

    assert record.has_failed


def test_a_table_of_the_page_has_every_column_that_a_row_has(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.json", {})

    def measure() -> None:
        record.add("rows", {"lanes": 4, "ms": 0.12345678})
        record.add("rows", {"lanes": 8, "left out": "a | b"})

    record.run_stage("stage", measure, seconds=10)

    page = markdown({"device": "cpu"}, record.stages)
    assert "| lanes | ms | left out |" in page
    assert "| 4 | 0.1235 |  |" in page
    assert "| 8 |  | a \\| b |" in page
