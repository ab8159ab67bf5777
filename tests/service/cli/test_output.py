"""What commands write: any name to any terminal, and files to folders that there are not yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofrank.service.cli.main import main
from tests.helpers.serving import RunningServer, run_command

TRIPLE = ("anna", "ancestor", "Zoë")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_a_proof_is_printed_whatever_the_terminal_can_show(
    evaluate_arguments: list[str], server: RunningServer, encoding: str
) -> None:
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8"}
    commands = (
        [*evaluate_arguments, "--explain", *TRIPLE],
        ["rank", "--url", server.url, *TRIPLE, "--proof", "--side", "tail"],
    )
    for command in commands:
        done = run_command(*command, environment=environment, encoding=encoding)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        name = "Zo\\xeb" if encoding == "ascii" else "Zoë"
        assert f"ancestor(anna, {name})" in done.stdout
        tree = [line for line in done.stdout.splitlines() if "[known fact]" in line]
        assert tree
        branches = ("├─ ", "└─ ") if encoding == "utf-8" else ("|- ", "`- ")
        assert all(line.lstrip(" │|").startswith(branches) for line in tree)
        assert "\\u2" not in done.stdout


@pytest.mark.parametrize(
    ("flag", "name"), [("--json", "m.json"), ("--results", "r.jsonl"), ("--trace", "t.json")]
)
def test_a_file_is_written_to_a_folder_that_is_not_there_yet(
    evaluate_arguments: list[str], tmp_path: Path, flag: str, name: str
) -> None:
    path = tmp_path / "new" / "folder" / name
    assert main([*evaluate_arguments, "--corruptions", "2", flag, str(path)]) == 0
    assert path.stat().st_size > 0


def test_an_answer_is_written_to_a_folder_that_is_not_there_yet(
    server: RunningServer, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "answer.json"
    assert main(["rank", "--url", server.url, *TRIPLE, "--json", str(path)]) == 0
    assert json.loads(path.read_text(encoding="utf-8"))["queries"]


@pytest.mark.parametrize("flag", ["--json", "--results", "--trace"])
def test_a_folder_that_cannot_be_made_is_told_before_the_work(
    evaluate_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "m.jsonl"
    assert main([*evaluate_arguments, flag, str(path)]) == 2
    assert f"{flag} {path}: cannot be written: " in capsys.readouterr().err
