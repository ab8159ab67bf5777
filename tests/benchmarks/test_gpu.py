"""``python -m benchmarks.gpu`` on the CPU: every stage runs or says why not, without the service's libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device.bench import QUICK
from benchmarks.device.parts import PARTS
from benchmarks.gpu import STAGES, main
from tests.helpers.web_libraries import ROOT, WEB

REFUSED = (*WEB, "matplotlib", "service")

PROGRAM = f"""
import runpy, sys

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {REFUSED!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed here")
        return None

sys.meta_path.insert(0, Refuser())
sys.argv[0] = "benchmarks.gpu"
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


@dataclass(frozen=True)
class Run:
    """One run of the program: its output, and the folder of its results."""

    process: subprocess.CompletedProcess[str]
    out: Path

    @property
    def stages(self) -> dict[str, Any]:
        """Returns the stages of its JSON file."""
        return json.loads((self.out / "gpu.json").read_text())["stages"]

    def rows(self, stage: str, table: str) -> list[dict[str, Any]]:
        """Returns the rows of one table."""
        return self.stages[stage]["tables"][table]


def run_program(out: Path) -> Run:
    command = [sys.executable, "-c", PROGRAM, "--device", "cpu", "--quick", "--out", str(out)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Run(process, out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_program(tmp_path_factory.mktemp("results"))


def test_every_stage_is_done_where_nothing_of_the_web_is_installed(run: Run) -> None:
    assert run.process.returncode == 0, run.process.stderr
    assert list(run.stages) == list(STAGES)
    assert {name: stage["status"] for name, stage in run.stages.items()} == dict.fromkeys(STAGES, "done")


def test_the_quick_run_agrees_with_the_original_in_every_stage_that_compares(run: Run) -> None:
    compared = [
        row
        for table in (
            run.rows("parity", "original"),
            run.rows("properties", "properties"),
            run.rows("times", "times"),
            run.rows("all_entities", "all_entities"),
        )
        for row in table
        if "agrees" in row
    ]

    assert len(compared) >= 7
    assert all(row["agrees"] for row in compared)


def test_what_needs_a_card_or_the_compiler_is_a_row_with_the_reason(run: Run) -> None:
    [occupation] = run.rows("profile", "occupation")
    of_modes = {row["mode"]: row for row in run.rows("parity", "original")}

    assert occupation["left out"] == "needs a CUDA device; this is cpu"
    assert "compiler" in of_modes["default"]["left out"]
    assert "left out" not in of_modes["eager"]
    assert "left out" not in of_modes["captured"]


def test_the_properties_that_need_no_card_are_shown_in_every_mode_that_the_cpu_has(run: Run) -> None:
    rows = run.rows("properties", "properties")

    shown = {(row["mode"], row["property"]) for row in rows if row.get("agrees")}
    left_out = {row["property"] for row in rows if "left out" in row}
    assert shown == {
        (mode, name)
        for mode in ("eager", "captured")
        for name in ("same bits in any company and bucket", "another policy without capture or compiler")
    }
    assert left_out == {"no wait for the device between replays", "graphs captured"}
    [refused] = [row for row in run.rows("properties", "modes") if row["mode"] == "graph-trees"]
    assert "compiler takes longer" in refused["left out"]


def test_every_part_of_a_tick_has_its_share_of_the_time(run: Run) -> None:
    parts = run.rows("profile", "parts")

    assert [row["part"] for row in parts] == list(PARTS)
    assert all(row["ms per tick"] > 0 for row in parts)
    assert sum(row["share %"] for row in parts) == pytest.approx(100)


@pytest.mark.parametrize("stage", ["saturation", "memory"])
def test_a_bucket_that_does_not_fit_is_a_row_with_the_number(run: Run, stage: str) -> None:
    refused = [row for row in run.rows(stage, stage) if row["lanes"] == QUICK.most_lanes[-1]]

    assert refused
    assert all("GiB are free" in row["left out"] for row in refused)


def test_times_have_medians_and_drift_in_every_precision_that_the_cpu_has(run: Run) -> None:
    of_precision = {row["precision"]: row for row in run.rows("times", "times")}

    assert of_precision["float32"]["ms per query"] > 0
    assert of_precision["float32"]["largest difference of a log-probability"] == 0
    assert 0 < of_precision["bfloat16"]["largest difference of a log-probability"] < 1


def test_the_page_has_every_stage_and_says_how_to_draw_the_picture(run: Run) -> None:
    page = (run.out / "gpu.md").read_text()

    assert all(f"## {name}\n" in page for name in STAGES)
    assert f"python -m benchmarks.draw {run.out / 'gpu.json'}" in run.process.stdout


def test_only_the_stages_that_are_asked_for_run_and_the_commit_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--device", "cpu", "--out", str(tmp_path), "--stages", "environment", "--commit", "abc123"]
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])

    assert main() == 0

    stages = json.loads((tmp_path / "gpu.json").read_text())["stages"]
    [machine] = stages["environment"]["tables"]["machine"]
    assert list(stages) == ["environment"]
    assert machine["commit"] == "abc123"
    assert machine["measured device"] == "cpu"


def test_a_run_in_which_nothing_could_be_compared_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--device", "cpu", "--out", str(tmp_path), "--stages", "parity", "--shared", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])

    assert main() == 1

    parity = json.loads((tmp_path / "gpu.json").read_text())["stages"]["parity"]
    assert parity["status"] == "failed"
    assert "--shared names the folder" in parity["reason"]


def test_a_run_without_time_for_the_comparison_fails_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--device", "cpu", "--quick", "--out", str(tmp_path), "--stages", "parity", "--minutes", "0"]
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])

    assert main() == 1

    parity = json.loads((tmp_path / "gpu.json").read_text())["stages"]["parity"]
    assert "mode 'eager' was not compared with the original" in parity["reason"]
