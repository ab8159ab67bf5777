"""Of processes that begin together one makes an artifact and the others wait for it, but never for the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from proofrank.core.evaluator.artifact_lock import artifact_lock
from proofrank.core.evaluator.artifacts import MANIFEST, ArtifactCache

ROOT = Path(__file__).resolve().parents[3]
KEY = {"kind": "test"}

_KEEP_A_TURN = """
import sys
from pathlib import Path
from proofrank.core.evaluator.artifact_lock import artifact_lock
with artifact_lock(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""

_FILL_A_FOLDER = """
import sys, time
from pathlib import Path
from proofrank.core.evaluator.artifacts import ArtifactCache
root, name = Path(sys.argv[1]), sys.argv[2]
(root / f"arrived-{name}").touch()
cache = ArtifactCache(root)
with cache.using({"kind": "test"}):
    made = cache.folder({"kind": "test"}) / "code"
    print("found" if made.exists() else "made")
    while len(list(root.glob("arrived-*"))) < 2:
        time.sleep(0.05)
    if not made.exists():
        time.sleep(0.5)
        made.write_text("code")
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_turn_is_waited_for_and_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    had_turn = threading.Event()

    def take_turn() -> None:
        with artifact_lock(artifact):
            had_turn.set()

    with start(_KEEP_A_TURN, str(artifact)) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        waiting = threading.Thread(target=take_turn, daemon=True)
        waiting.start()
        assert not had_turn.wait(0.5)
        other.kill()
        assert had_turn.wait(10)


def test_nobody_waits_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    artifact = tmp_path / "file" / "artifact"

    with artifact_lock(artifact), artifact_lock(artifact):
        assert not artifact.exists()


def test_two_processes_that_begin_together_fill_a_folder_of_the_compiler_once(tmp_path: Path) -> None:
    processes = [start(_FILL_A_FOLDER, str(tmp_path), name) for name in ("a", "b")]

    said = [process.communicate(timeout=60)[0] for process in processes]

    assert sorted(said) == ["found\n", "made\n"]
    assert [process.returncode for process in processes] == [0, 0]


def test_a_folder_that_is_sealed_is_read_by_all_at_once(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with cache.using(KEY):
        (cache.folder(KEY) / "code").write_text("code")
    assert (cache.folder(KEY) / MANIFEST).is_file()
    had_turn = threading.Event()

    def take_turn() -> None:
        with artifact_lock(cache.folder(KEY)):
            had_turn.set()

    with cache.using(KEY):
        threading.Thread(target=take_turn, daemon=True).start()
        assert had_turn.wait(10)
