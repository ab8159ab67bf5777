"""``FILE.run.json``, which identifies the run of the results beside it, and is locked while that run is active.

Two runs on one file would write every row twice, or into each other's rows. The kernel holds the lock on the open file,
so it ends with the process in every case. The file is therefore always written in place: a new file in its place would
not be locked.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from proofrank.core.errors import ProofrankError
from proofrank.service.bulk.identity import Identity, first_difference

_ENGINE = "engine"
"""Key of the engine, which is noted beside the identity and is no part of it."""


class ResultsError(ProofrankError):
    """A file of results cannot be used."""


class RunFile:
    """The file of a run, which no other process can open before it is closed."""

    def __init__(self, results: Path, path: Path, descriptor: int) -> None:
        self._results = results
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, results: Path) -> RunFile:
        """Opens and locks the file beside ``results``; makes it, empty, if there are no results yet.

        Raises:
            ResultsError: another run has it, or there are results without it.
            OSError: it cannot be read and written.
        """
        path = results.with_name(f"{results.name}.run.json")
        # Results without this file belong to something else, and no file may be left beside them.
        creation = 0 if results.exists() else os.O_CREAT
        try:
            descriptor = os.open(path, os.O_RDWR | creation, 0o666)
        except FileNotFoundError:
            if not creation:
                raise _unknown_run(results, path) from None
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise
            raise ResultsError(
                f"--results {results}: another run is writing it; use another name, or wait for its end"
            ) from error
        return cls(results, path, descriptor)

    def close(self) -> None:
        """Releases the results for another run."""
        os.close(self._descriptor)

    def begin(self, identity: Identity) -> None:
        """Writes that the results belong to a new run; it is on the disk when it returns. Raises OSError."""
        self._write(identity)

    def check_same_run(self, identity: Identity) -> None:
        """Refuses to resume the results of another run.

        Raises:
            ResultsError: the runs differ, with the first difference, or the file does not identify a run.
        """
        there = self._read()
        there.pop(_ENGINE, None)
        difference = first_difference(identity, there)
        if difference is not None:
            raise ResultsError(
                f"--results {self._results}: holds another run ({difference}); use another name"
            )

    def noted_engine(self, engine: str) -> str:
        """Returns the engine that began the run. Without one noted, notes ``engine`` and returns it.

        Raises:
            ResultsError: the file does not identify a run.
            OSError: it cannot be written.
        """
        there = self._read()
        noted = there.get(_ENGINE)
        if noted is None:
            self._write({**there, _ENGINE: engine})
            return engine
        return str(noted)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)))
        except (OSError, ValueError, TypeError):
            raise _unknown_run(self._results, self._path) from None

    def _write(self, content: dict[str, Any]) -> None:
        text = (json.dumps(content, indent=1) + "\n").encode()
        # In one write, before the old end is cut off, so that a kill leaves one content or the other.
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)


def _unknown_run(results: Path, path: Path) -> ResultsError:
    return ResultsError(
        f"--results {results}: exists, and {path.name} does not say which run it belongs to; use another name"
    )
