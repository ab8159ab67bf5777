"""Has processes that are about to make the same artifact take turns, so that one makes it and the others load it.

The lock is the kernel's, on an open file. It ends with its process, even a killed one, so no process
waits for a dead one.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger("proofrank")


@contextmanager
def artifact_lock(artifact: Path) -> Iterator[None]:
    """While it lasts, no other process has its turn at ``artifact``; waits until none has.

    Where no lock can be had, as in a folder that cannot be written to, no process waits, and each makes the artifact.

    Args:
        artifact: the file or folder that is to be made, whose name need not be known to its end; the lock is a hidden
            file beside it, which stays, for to remove it would be to take it from under one who waits.
    """
    # Not bound to a thread, for the turn may end in another one than it began in.
    # A soft lock, a mere file, would outlive its process: better none.
    lock = FileLock(artifact.with_name(f".{artifact.name}.lock"), thread_local=False, fallback_to_soft=False)
    _wait(lock, artifact)
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, artifact: Path) -> None:
    try:
        artifact.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    try:
        _acquire(lock, artifact)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return
        reason = getattr(error, "strerror", None) or error
        logger.warning("%s is not locked, and may be made twice: %s", artifact, reason)


def _acquire(lock: FileLock, artifact: Path) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("another process is making %s; waiting for it", artifact)
        lock.acquire()
