"""The processes to measure: ``proofrank serve``, and the evaluator alone (``benchmarks/alone.py``)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import urllib3

from load.tally import OK
from load.triples import Triple

REPOSITORY = Path(__file__).resolve().parents[1]

_SECONDS_TO_START = 300.0
_LISTENING = re.compile(r"Uvicorn running on (http://\S+)")


class ProcessError(Exception):
    """A process to measure did not start, or ended."""


def clean_environment(threads: int, extra: Mapping[str, str], source: Path = REPOSITORY) -> dict[str, str]:
    """Returns this environment without settings of the service, with ``threads`` for torch, and with ``extra``.

    ``source`` is the checkout whose code is run.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROOFRANK_")}
    return {**kept, "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(threads), **extra}


def _cpu_seconds(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


class ServerProcess:
    """A server on a free port with its own data folder; a context manager that ends it."""

    def __init__(
        self, dataset: Path, policy: Path, threads: int, *arguments: str, source: Path = REPOSITORY
    ) -> None:
        """Starts ``proofrank serve`` of the checkout ``source``, with ``arguments``."""
        self._home = tempfile.TemporaryDirectory(prefix="proofrank-load-")
        folders = (
            *("--dataset", str(dataset.absolute())),
            *("--policy", str(policy.absolute() if policy.exists() else policy)),
            *("--data-folder", self._home.name),
        )
        self._process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "proofrank.service.cli.main",
                    "serve",
                    "--port",
                    "0",
                    "--threads",
                    str(threads),
                ),
                *(*folders, *arguments),
            ],
            cwd=source,
            env=clean_environment(threads, {}, source),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._last_lines: list[str] = []
        self._url: str | None = None
        self._is_listening = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """The server's URL."""
        assert self._url is not None
        return self._url

    @property
    def resident_mib(self) -> float:
        """Its resident memory, in MiB."""
        return psutil.Process(self._process.pid).memory_info().rss / 2**20

    @property
    def cpu_seconds(self) -> float:
        """Its computing time so far, of all threads, in seconds."""
        return _cpu_seconds(self._process.pid)

    def wait_until_ready(self) -> None:
        """Returns once the server is ready.

        Raises:
            ProcessError: it ended, or took too long.
        """
        ends = time.monotonic() + _SECONDS_TO_START
        self._is_listening.wait(_SECONDS_TO_START)
        while self._url is None or urllib3.request("GET", f"{self._url}/readyz").status != OK:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise ProcessError("the server does not start:\n" + "".join(self._last_lines))
            time.sleep(0.05)

    def _read_log(self) -> None:
        """Reads all of its log, because it would otherwise wait for a reader, and keeps the end."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last_lines = [*self._last_lines[-20:], line]
            match = _LISTENING.search(line)
            if match is not None:
                self._url = match[1]
                self._is_listening.set()
        self._is_listening.set()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._home.cleanup()


@dataclass(frozen=True)
class AloneResult:
    """The result of the evaluator alone.

    Attributes:
        seconds: time for all candidates.
        candidates: number of candidates.
        mrr: MRR of the queries.
    """

    seconds: float
    candidates: int
    mrr: float


class AloneProcess:
    """The evaluator in its own process, which ranks on demand; a context manager that ends it."""

    def __init__(self, dataset: Path, policy: Path, threads: int, corruptions: int, lanes: int) -> None:
        self._process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "benchmarks.alone",
                    "--dataset",
                    str(dataset),
                    "--policy",
                    str(policy),
                ),
                *("--threads", str(threads), "--corruptions", str(corruptions), "--lanes", str(lanes)),
            ],
            cwd=REPOSITORY,
            env=clean_environment(threads, {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def cpu_seconds(self) -> float:
        """Its computing time so far, of all threads, in seconds."""
        return _cpu_seconds(self._process.pid)

    def rank(self, triples: Sequence[Triple]) -> AloneResult:
        """Ranks ``triples`` on their tails.

        Raises:
            ProcessError: it ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(triples) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ProcessError("the evaluator alone has ended")
        return AloneResult(**json.loads(line))

    def __enter__(self) -> AloneProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
