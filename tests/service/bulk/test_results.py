"""The file of ``proofrank evaluate --results`` after kills, a second run, a full disk, an edit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrank.service.cli.main import main
from tests.helpers.result_rows import SUFFIXES, has_rows, place, read_rows
from tests.helpers.serving import REPOSITORY
from tests.helpers.told import without_reading

EVERY_PLACE = [(index, side) for index in range(9) for side in ("head", "tail")]
"""The place of every row of the family's 9 queries."""

PART = "queries-000000002-000000003.parquet"
"""One file of a folder of results whose shards are two queries each."""


def tear(part: Path) -> None:
    """Leaves what a kill in the middle of writing ``part`` leaves."""
    part.with_name(f".{PART}").write_bytes(part.read_bytes()[:-100])
    part.unlink()


def leave_without_its_name(part: Path) -> None:
    """Leaves what a kill between the writing of ``part`` and its renaming leaves."""
    part.rename(part.with_name(f".{PART}"))


@pytest.mark.parametrize("kill", [tear, leave_without_its_name])
def test_a_part_that_a_kill_left_without_its_name_is_done_again(
    bulk_arguments: list[str], tmp_path: Path, kill: Callable[[Path], None]
) -> None:
    results, trace = tmp_path / "rows.parquet", tmp_path / "trace.json"
    command = [*bulk_arguments, "--results", str(results), "--queries-per-shard", "2"]
    reports = [tmp_path / "whole.json", tmp_path / "again.json"]
    assert main([*command, "--json", str(reports[0])]) == 0
    kill(results / PART)

    assert main([*command, "--json", str(reports[1]), "--trace", str(trace)]) == 0

    assert [shard["queries"] for shard in json.loads(trace.read_text())["shards"]] == [2]
    assert sorted(map(place, read_rows(results))) == EVERY_PLACE
    assert not [path.name for path in results.iterdir() if path.name.startswith(".")]
    assert reports[1].read_bytes() == reports[0].read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_run_is_kept_from_the_results_until_the_first_has_ended_however_it_ends(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / f"rows{suffix}"
    # Work for some seconds, so that the first run can be stopped before its end.
    command = [
        *("evaluate", "--engine", "original", "--threads", "1", "--side", "head", "--corruptions", "all"),
        *("--queries", "6", "--queries-per-shard", "1", "--results", str(results)),
    ]
    first = subprocess.Popen([sys.executable, "-m", "proofrank.service.cli.main", *command], cwd=REPOSITORY)
    try:
        while not has_rows(results):
            assert first.poll() is None, "the first run ended without a row"
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        capsys.readouterr()
        assert main(command) == 2
        assert capsys.readouterr().err.endswith(
            f"proofrank: --results {results}: another run is writing it; "
            "use another name, or wait for its end\n"
        )
    finally:
        first.kill()
        first.wait()

    assert main(command) == 0

    assert "queries are done; going on" in capsys.readouterr().err
    assert sorted(map(place, read_rows(results))) == [(index, "head") for index in range(6)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_that_hold_a_ranking_twice_are_refused_and_left_as_they_are(
    bulk_arguments: list[str], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / f"rows{suffix}"
    command = [*bulk_arguments, "--results", str(results), "--queries-per-shard", "2"]
    assert main(command) == 0
    if suffix == ".parquet":
        shutil.copy(results / PART, results / "queries-000000002-000000009.parquet")
    else:
        lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
        results.write_text("".join([*lines, *lines[4:8]]), encoding="utf-8")
    rows = read_rows(results)

    assert main(command) == 2

    assert capsys.readouterr().err.endswith(
        f"proofrank: --results {results}: query_index 2 occurs 2 times with side head; "
        "expected once, as a single run writes it\n"
    )
    assert read_rows(results) == rows


def run_where_files_grow_to_2000_bytes(command: list[str]) -> tuple[int, str]:
    """Runs a command that cannot make any file larger than 2000 bytes; returns its exit status and its messages."""
    code = (
        "import resource, sys; from proofrank.service.cli.main import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(main(sys.argv[1:]))"
    )
    # Without the measurement of coverage, which would write a file of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    return ended.returncode, without_reading(ended.stderr).strip()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on_once_there_is_room(
    bulk_arguments: list[str], tmp_path: Path, suffix: str
) -> None:
    results = tmp_path / f"rows{suffix}"
    command = [*bulk_arguments, "--results", str(results), "--queries-per-shard", "2"]

    told = run_where_files_grow_to_2000_bytes(command)

    assert told == (2, f"proofrank: --results {results}: cannot be written: File too large")
    assert main(command) == 0
    assert sorted(map(place, read_rows(results))) == EVERY_PLACE


def test_a_disk_without_room_for_the_trace_is_told_in_one_line(
    bulk_arguments: list[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    told = run_where_files_grow_to_2000_bytes(
        [*bulk_arguments, "--trace", str(trace), "--queries-per-shard", "1"]
    )
    assert told == (2, f"proofrank: --trace {trace}: cannot be written: File too large")


def test_another_engine_may_go_on_and_it_is_told_that_it_does(
    bulk_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "rows.jsonl"
    command = [*bulk_arguments, "--results", str(results), "--queries-per-shard", "2"]
    assert main(command) == 0
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    shortened = "".join(lines[:8])

    results.write_text(shortened, encoding="utf-8")
    assert main(command) == 0
    assert "warning" not in without_reading(capsys.readouterr().err)

    results.write_text(shortened, encoding="utf-8")
    assert main([*command, "--engine", "eager"]) == 0
    told = capsys.readouterr().err
    assert "warning: the results were begun by engine original, and eager goes on: " in told
    assert sorted(map(place, read_rows(results))) == EVERY_PLACE
