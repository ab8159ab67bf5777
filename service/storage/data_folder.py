"""The data folder, which outlives the server, and the lock that keeps a second server out.

Two servers on one folder would each remove what the other is writing. The kernel holds the lock on an open file, so it
ends with the process in every case, and a crash leaves no lock to remove.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from proofrank.core.errors import ProofrankError

LOCK_FILE = "lock"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk: no space, no quota, or a file too large."""


class DataFolderError(ProofrankError):
    """The data folder, or its content, cannot be used."""


class FolderInUseError(DataFolderError):
    """Another server uses the data folder."""


class DataFolderFullError(DataFolderError):
    """There is no room for what was to be written."""


def default_data_folder() -> Path:
    """Returns the folder ``proofrank`` in the user's data folder; on Linux, by the XDG standard."""
    return user_data_path("proofrank", appauthor=False)


class DataFolder:
    """A data folder that only this process may write to, until it is closed.

    Attributes:
        path: path of the folder.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> DataFolder:
        """Opens and locks the folder; makes it if there is none.

        Raises:
            DataFolderError: it cannot be written.
            FolderInUseError: another server uses it.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(
                f"data folder {path} cannot be used: {error.strerror}; data_folder sets another"
            ) from error
        # Not by filelock: some of its versions empty the file at each attempt, and the file names the process with the
        # lock.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip()
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise DataFolderError(f"data folder {path} cannot be locked: {error.strerror}") from error
            raise FolderInUseError(
                f"data folder {path} is in use by another server (process {holder or 'unknown'}); "
                "each server needs its own data_folder"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        return cls(path, lock)

    def close(self) -> None:
        """Releases the folder for another server."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_full_as_error() -> Iterator[None]:
    """Raises DataFolderFullError if what is written inside finds no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DataFolderFullError(f"the data folder has no room for it: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise DataFolderFullError(f"the data folder has no room for it: {error}") from error
