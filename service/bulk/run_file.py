"""``FILE.run.json``, beside a file of results: says which run they are of, and is locked while that run goes on.

Two runs on one file would write every row twice, or into each other's. The lock is the kernel's, on the open file: it
ends with the process, however that ends. So the file is always written in place: one put in its place would be another
file, which nobody has locked.
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
"""Stands beside the identity, and is no part of it."""


class ResultsError(ProofrankError):
    """A file of results cannot be used."""


class RunFile:
    """The file of a run, which no other process can open until it is closed."""

    def __init__(self, results: Path, path: Path, descriptor: int) -> None:
        self._results = results
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, results: Path) -> RunFile:
        """Opens and locks the file beside ``results``; makes it, empty, where there are no results yet.

        Raises:
            ResultsError: another run has it, or there are results without it.
            OSError: it cannot be read and written.
        """
        path = results.with_name(f"{results.name}.run.json")
        # Results that have none beside them are somebody else's, and nothing is to be left there.
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
                f"--results {results}: another run is writing it; expected another name, or to wait for its end"
            ) from error
        return cls(results, path, descriptor)

    def close(self) -> None:
        """Lets another run have the results."""
        os.close(self._descriptor)

    def begin(self, identity: Identity) -> None:
        """Says that the results are those of a new run; it is on the disk afterwards. Raises OSError."""
        self._write(identity)

    def check_same_run(self, identity: Identity) -> None:
        """Refuses to go on with the results of another run.

        Raises:
            ResultsError: names the first difference, or says that the file does not tell.
        """
        there = self._read()
        there.pop(_ENGINE, None)
        difference = first_difference(identity, there)
        if difference is not None:
            raise ResultsError(
                f"--results {self._results}: holds another run ({difference}); expected another name"
            )

    def noted_engine(self, engine: str) -> str:
        """The engine by which the run was begun: the one noted, or else ``engine``, which is noted.

        Raises:
            ResultsError: the file does not tell.
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
        # At once and before the old end is cut off, so that a kill finds one content or the other.
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)


def _unknown_run(results: Path, path: Path) -> ResultsError:
    return ResultsError(
        f"--results {results}: exists, and {path.name} does not say which run it is of; expected another name"
    )
