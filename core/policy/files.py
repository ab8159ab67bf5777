"""The files of a policy folder: our names, and those of the Hugging Face convention.

Our name comes first: a folder may hold a ``config.json`` of something else beside ``policy.json``.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from proofrank.core.errors import PolicyError
from proofrank.core.hybrid import HYBRID_FILE

T = TypeVar("T")

WEIGHTS_FILE = "policy.safetensors"
CONFIG_FILE = "policy.json"
VOCABULARY_FILE = "vocab.json"

HUB_WEIGHTS_FILE = "model.safetensors"
HUB_CONFIG_FILE = "config.json"
_HUB_SHARDS_FILE = "model.safetensors.index.json"

_MOST_READS = 50
"""Maximum number of times that a folder is read which is replaced meanwhile each time."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Values of Linux' ``fcntl.h`` and ``fs.h``: a path is relative to the current folder; two paths change places."""


class PolicyPaths(NamedTuple):
    """Paths of the files of one policy; none of them need exist, and the last one often does not."""

    weights: Path
    config: Path
    vocabulary: Path
    hybrid: Path


def policy_paths(folder: Path) -> PolicyPaths:
    """Returns the paths of the files in ``folder``, by our names where neither name is there.

    Raises:
        PolicyError: both names of the weights are there, or the weights are cut into several files.
    """
    ours, hub = folder / WEIGHTS_FILE, folder / HUB_WEIGHTS_FILE
    if ours.is_file() and hub.is_file():
        raise PolicyError(
            f"{folder}: has {WEIGHTS_FILE} and {HUB_WEIGHTS_FILE}; expected one of them", file=WEIGHTS_FILE
        )
    if not ours.is_file() and not hub.is_file() and (folder / _HUB_SHARDS_FILE).is_file():
        raise PolicyError(
            f"{folder}: has weights in several files ({_HUB_SHARDS_FILE}); expected one {HUB_WEIGHTS_FILE}",
            file=WEIGHTS_FILE,
        )
    return PolicyPaths(
        weights=hub if hub.is_file() else ours,
        config=_first_there(folder, CONFIG_FILE, HUB_CONFIG_FILE),
        vocabulary=folder / VOCABULARY_FILE,
        hybrid=folder / HYBRID_FILE,
    )


def _first_there(folder: Path, ours: str, hub: str) -> Path:
    is_hub_alone = not (folder / ours).is_file() and (folder / hub).is_file()
    return folder / (hub if is_hub_alone else ours)


def read_whole(folder: Path, read: Callable[[], T]) -> T:
    """Returns what ``read`` returns of the files in ``folder``; reads again if the folder is replaced meanwhile.

    So files that :func:`replace_folder` writes are all of one policy.

    Args:
        folder: folder that is read.
        read: reads its files, and may raise what it likes.

    Raises:
        PolicyError: the folder has been replaced during each of many reads.
    """
    for _ in range(_MOST_READS):
        before = _identity(folder)
        try:
            found = read()
        except Exception:
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return found
    raise PolicyError(f"{folder}: was replaced each time that it was read; expected a folder that rests")


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """What tells a folder from one that has taken its place; None where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    # A new folder may have the number of one that was removed, but not its time.
    return found.st_dev, found.st_ino, found.st_mtime_ns


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes ``files`` into ``folder``, in place of those of the same names, all at one moment.

    They are written to a folder beside, which then changes places with ``folder``; other files of ``folder`` are moved
    along right after. Where folders cannot change places (a system other than Linux, a mount point, a parent folder
    that may not be written to), the files are replaced one by one.

    Args:
        folder: folder to write to; made if it does not exist. One process at a time may write to it.
        files: name -> content.

    Raises:
        OSError: a file cannot be written; ``folder`` is as it was then.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.new")
    try:
        # What a kill has left.
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    except OSError:
        if not folder.is_dir():
            raise
        beside = folder / ".new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        if not folder.exists():
            beside.rename(folder)
            return
        if beside.parent != folder and _change_places(beside, folder):
            for entry in list(beside.iterdir()):
                if entry.name not in files:
                    entry.rename(folder / entry.name)
        else:
            for name in files:
                (beside / name).replace(folder / name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _change_places(first: Path, second: Path) -> bool:
    """Has two folders change places at one moment; returns whether the system can do that."""
    shutil.copymode(second, first)
    try:
        exchange = ctypes.CDLL(None).renameat2
    except (OSError, TypeError, AttributeError):
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return exchange(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
