"""Has processes that are about to make the same artifact take turns, so that one makes it and the others load it.

The lock is the kernel's, on an open file: it ends with its process, however that ends, so nobody waits for the dead.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("proofrank")


@contextmanager
def artifact_lock(artifact: Path) -> Iterator[None]:
    """While it lasts, no other process has its turn at ``artifact``; waits until none has.

    Where no lock can be had, as in a folder that cannot be written to, nobody waits: all make it, as best they can.

    Args:
        artifact: the file or folder that is to be made, whose name need not be known to its end; the lock is a hidden
            file beside it, which stays, for to remove it would be to take it from under one who waits.
    """
    lock = _opened(artifact.with_name(f".{artifact.name}.lock"))
    if lock is None:
        yield
        return
    try:
        _wait(lock, artifact)
        yield
    finally:
        os.close(lock)


def _opened(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None


def _wait(lock: int, artifact: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("another process is making %s; waiting for it", artifact)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("%s is not locked, and may be made twice: %s", artifact, error.strerror)
