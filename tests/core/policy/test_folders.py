"""A policy folder is replaced at one moment, and read as a whole."""

from __future__ import annotations

import os
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
