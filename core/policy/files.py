"""The files of a policy folder: our names, and those of the Hugging Face convention.

Our name comes first: a folder may hold a ``config.json`` of something else beside ``policy.json``.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
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

    So files that :func:`replace_folder` writes at one moment are all of one policy. Where it replaces them one by one,
    they are likely to be, no more: changes are then told by the folder's time of modification alone. It does not change
    between two of these replacements, nor within a tick of the kernel's clock (1 to 10 ms), so a read that fits in
    there may find files of two policies.

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

    They are written to a folder beside, ``.NAME.new``, which then changes places with ``folder``; other files of
    ``folder`` are moved along right after, those that a kill left behind by the next call. One whose name is there
    again by then becomes ``FILE.old``. So ``folder`` is a new folder after each call.

    Where folders cannot change places (a system other than Linux, a mount point, a parent folder that may not be
    written to), and where the current folder of the process is ``folder`` or in it, the files are replaced one by one.

    Args:
        folder: folder to write to; made if it does not exist. One process at a time may write to it.
        files: name -> content.

    Raises:
        OSError: a file cannot be written; ``folder`` is as it was then. Or the files are there, but another file cannot
            be moved along: it stays in the folder beside, and the next call tries again.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not _replace_at_once(folder, files):
        _replace_one_by_one(folder, files)


def _replace_at_once(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Puts a new folder in the place of ``folder``; returns False, with ``folder`` as it was, where that cannot be."""
    beside = folder.parent / f".{folder.name}.new"
    try:
        # What a kill has left.
        _remove_scratch(beside, folder, files)
        if _is_working_folder(folder):
            return False
        beside.mkdir()
    except OSError:
        if not folder.is_dir():
            raise
        return False
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        if not folder.exists():
            beside.rename(folder)
            return True
        return _change_places(beside, folder)
    finally:
        # An interrupt may come right after the exchange, so what is beside decides, not what was returned.
        _remove_scratch(beside, folder, files)


def _replace_one_by_one(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces the files in ``folder``, after all of them have been written to a folder in it."""
    # Inside, since a file cannot be renamed from beside a mount point into it.
    scratch = folder / ".new"
    _remove_scratch(scratch, folder, files)
    scratch.mkdir()
    try:
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        for name in files:
            (scratch / name).replace(folder / name)
    finally:
        _remove_scratch(scratch, folder, files)


def _is_working_folder(folder: Path) -> bool:
    """Whether the current folder of the process is ``folder`` or lies in it."""
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:
        # The current folder has been removed.
        return False


def _remove_scratch(scratch: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Removes the folder ``scratch``, if it is there, after moving what is not of ``files`` to ``folder``.

    Raises:
        OSError: something cannot be moved, and stays in ``scratch``; the rest has been moved.
    """
    if scratch.is_symlink() or not scratch.is_dir():
        return
    failure: OSError | None = None
    entries = list(scratch.iterdir())
    for entry in entries:
        if entry.name in files:
            continue
        try:
            folder.mkdir(exist_ok=True)
            entry.rename(_free_path(folder / entry.name))
        except OSError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    for entry in entries:
        if entry.name in files:
            entry.unlink()
    # Not the whole tree: another process may have made a file in the old folder meanwhile, which the next call moves.
    with suppress(OSError):
        scratch.rmdir()


def _free_path(path: Path) -> Path:
    """Returns ``path``, or if something is there, that path with ``.old``, ``.old2``, ``.old3`` and so on."""
    free, number = path, 1
    while os.path.lexists(free):
        free = path.with_name(f"{path.name}.old{number if number > 1 else ''}")
        number += 1
    return free


def _change_places(first: Path, second: Path) -> bool:
    """Has two folders change places at one moment; returns whether the system can do that."""
    shutil.copymode(second, first)
    try:
        exchange = ctypes.CDLL(None).renameat2
    except (OSError, TypeError, AttributeError):
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return exchange(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
