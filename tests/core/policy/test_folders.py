"""A policy folder is replaced at one moment, and read as a whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from proofrank.core.errors import PolicyError
from proofrank.core.policy import files
from proofrank.core.policy.files import read_whole, replace_folder

NAMES = ("config", "vocabulary", "weights")


def write(folder: Path, number: int) -> None:
    """Writes files that all hold the same number."""
    replace_folder(folder, {name: str(number).encode() for name in NAMES})


def held(folder: Path) -> list[str]:
    """The content of each file, and what else there is in and beside the folder."""
    inside = sorted(entry.name for entry in folder.iterdir() if entry.name not in NAMES)
    beside = sorted(entry.name for entry in folder.parent.iterdir() if entry != folder)
    return [*((folder / name).read_text() for name in NAMES), *inside, *beside]


def test_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "best"
    for number in range(3):
        write(folder, number)
        assert held(folder) == [str(number)] * 3


@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "one-by-one"])
def test_other_files_and_the_folders_mode_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files, "_change_places", lambda *_: False)
    folder = tmp_path / "best"
    write(folder, 1)
    (folder / "hybrid.json").write_text("of the user")
    (folder / "notes").mkdir()
    (folder / "notes" / "today").write_text("good")
    folder.chmod(0o750)

    write(folder, 2)

    assert held(folder) == ["2", "2", "2", "hybrid.json", "notes"]
    assert (folder / "notes" / "today").read_text() == "good"
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_new_folder_has_the_usual_mode(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()
    write(tmp_path / "best", 1)
    assert (tmp_path / "best").stat().st_mode == usual.stat().st_mode


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "best"
    link.symlink_to(tmp_path / "real")
    write(link, 1)
    write(link, 2)
    assert link.is_symlink() and held(tmp_path / "real")[:3] == ["2", "2", "2"]


def test_what_a_kill_has_left_beside_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    write(folder, 1)
    (tmp_path / ".best.new").mkdir()
    (tmp_path / ".best.new" / "weights").write_text("half")
    write(folder, 2)
    assert held(folder) == ["2", "2", "2"]


def test_a_write_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    write(folder, 1)
    with pytest.raises(OSError, match="File name too long"):
        replace_folder(folder, {"weights": b"2", "x" * 300: b"2"})
    assert held(folder) == ["1", "1", "1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_in_a_parent_that_may_not_be_written_to_files_are_replaced_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "best"
    write(folder, 1)
    folder.parent.chmod(0o555)
    try:
        write(folder, 2)
        assert held(folder) == ["2", "2", "2"]
    finally:
        folder.parent.chmod(0o755)


def write_other_files(folder: Path) -> None:
    (folder / "mine.txt").write_text("of the user")
    (folder / "runs").mkdir()
    (folder / "runs" / "events").write_text("logged")


def assert_other_files(folder: Path) -> None:
    assert (folder / "mine.txt").read_text() == "of the user"
    assert (folder / "runs" / "events").read_text() == "logged"


def run_python(
    program: str, *arguments: Path, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a program that has the names of this module."""
    program = f"from tests.core.policy.test_folders import *\n{textwrap.dedent(program)}"
    command = [*before, sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_an_interrupt_right_after_the_exchange_keeps_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    write(folder, 1)
    write_other_files(folder)
    change_places = files._change_places

    def change_places_and_stop(first: Path, second: Path) -> bool:
        change_places(first, second)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_change_places", change_places_and_stop)
    with pytest.raises(KeyboardInterrupt):
        write(folder, 2)

    assert_other_files(folder)
    assert held(folder) in (["1", "1", "1", "mine.txt", "runs"], ["2", "2", "2", "mine.txt", "runs"])


@pytest.mark.parametrize("next_way", ["exchange", "one-by-one"])
def test_other_files_that_a_kill_left_beside_are_brought_back_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_way: str
) -> None:
    folder = tmp_path / "best"
    write(folder, 1)
    write_other_files(folder)
    killed = run_python(
        """
        change_places = files._change_places

        def change_places_and_die(first, second):
            change_places(first, second)
            os.kill(os.getpid(), signal.SIGKILL)

        files._change_places = change_places_and_die
        write(Path(sys.argv[1]), 2)
        """,
        folder,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    if next_way == "one-by-one":
        monkeypatch.chdir(folder)
    write(folder, 3)

    assert held(folder) == ["3", "3", "3", "mine.txt", "runs"]
    assert_other_files(folder)


def test_a_file_that_was_left_beside_and_is_there_again_stays_under_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    for number, text in enumerate(["first", "second", "third"], start=1):
        (tmp_path / ".best.new").mkdir()
        (tmp_path / ".best.new" / "log.csv").write_text(text)
        write(folder, number)

    assert held(folder) == ["3", "3", "3", "log.csv", "log.csv.old", "log.csv.old2"]
    texts = [(folder / name).read_text() for name in ("log.csv", "log.csv.old", "log.csv.old2")]
    assert texts == ["first", "second", "third"]


def test_a_file_that_cannot_be_moved_back_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    write(folder, 1)
    write_other_files(folder)
    (folder / "another.txt").write_text("moves")
    rename = Path.rename

    def rename_but_one(path: Path, target: Path) -> Path:
        if path.name == "mine.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_but_one)
        with pytest.raises(PermissionError, match=r"mine\.txt"):
            write(folder, 2)
        assert held(folder) == ["2", "2", "2", "another.txt", "runs", ".best.new"]
        assert (tmp_path / ".best.new" / "mine.txt").read_text() == "of the user"
        write(folder, 3)
        assert held(folder) == ["3", "3", "3", "another.txt", "runs", ".best.new"]

    write(folder, 4)
    assert held(folder) == ["4", "4", "4", "another.txt", "mine.txt", "runs"]
    assert_other_files(folder)


def test_in_a_mount_point_files_are_replaced_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(folder)]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is missing, which mounts without being root")
    tried = subprocess.run(
        ["unshare", "-rm", *mount], capture_output=True, text=True, timeout=300, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.strip()}")
    ran = run_python(
        """
        folder = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
        write(folder, 1)
        write_other_files(folder)
        write(folder, 2)
        assert_other_files(folder)
        assert folder.is_mount()
        print(*held(folder))
        """,
        folder,
        before=("unshare", "-rm"),
    )
    assert ran.stdout.split() == ["2", "2", "2", "mine.txt", "runs"], ran.stderr


@pytest.mark.parametrize("where", [".", "runs"])
def test_the_working_folder_and_its_parents_stay_the_same_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    write_other_files(folder)
    monkeypatch.chdir(folder / where)
    before = folder.stat().st_ino
    relative = Path(os.path.relpath(folder))

    for number in range(3):
        write(relative, number)

    assert Path.cwd() == folder / where
    assert folder.stat().st_ino == before
    assert held(folder) == ["2", "2", "2", "mine.txt", "runs"]
    assert_other_files(folder)


def test_who_reads_all_the_time_sees_one_content_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    write(folder, 0)
    has_ended = threading.Event()

    def keep_writing() -> None:
        for number in range(1, 1000):
            write(folder, number)
        has_ended.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = []
    while not has_ended.is_set():
        seen.append(read_whole(folder, lambda: [(folder / name).read_text() for name in NAMES]))
    writer.join()

    assert all(len(set(contents)) == 1 for contents in seen)
    numbers = [int(contents[0]) for contents in seen]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 10


def test_a_folder_that_is_replaced_during_every_read_is_refused_and_an_error_of_a_resting_one_is_raised(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "best"
    write(folder, 0)
    with pytest.raises(PolicyError, match="best: was replaced each time that it was read"):
        read_whole(folder, lambda: write(folder, 1))

    def fail() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        read_whole(folder, fail)
