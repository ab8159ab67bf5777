"""The folder that outlives the server: where it is, and the lock that keeps a second server out of it.

Two servers on one folder would each sweep away what the other is writing. The lock is the kernel's, on an open file:
it ends with the process, however that ends, so there is none to clean up after a crash.
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
"""No space, no quota, or no file as large as that."""


class DataFolderError(ProofrankError):
    """The data folder, or what is in it, cannot be used."""


class FolderInUseError(DataFolderError):
    """Another server has the data folder."""


class DataFolderFullError(DataFolderError):
    """There is no room for what was to be written."""


def default_data_folder() -> Path:
    """``proofrank`` in the user's folder of data: on Linux, as the XDG base directories have it."""
    return user_data_path("proofrank", appauthor=False)


class DataFolder:
    """A data folder that this process, and no other, may write into until it is closed.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> DataFolder:
        """Makes the folder if there is none, and locks it.

        Raises:
            DataFolderError: it cannot be written.
            FolderInUseError: another server has it.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(
                f"data folder {path} cannot be used: {error.strerror}; data_folder sets another"
            ) from error
        # Not filelock's: some of its versions empty the file at each attempt, and it says who holds the lock.
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
        """Lets another server have the folder."""
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
    """Whatever is written inside: where there is no room for it, that is a DataFolderFullError."""
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
