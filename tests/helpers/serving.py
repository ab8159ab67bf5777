"""Runs ``proofrank serve`` as a separate process, on a free port of the loopback interface."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx

from tests.helpers.forked_process import REPOSITORY, ForkedProcess

_PATIENCE = 300.0
"""Seconds after which a server that does not start or end counts as a failure; never waited in full."""

_COMMAND = "proofrank.service.cli.main"
"""Module of the command."""

_LISTENING = re.compile(r"Uvicorn running on (http://\S+)")


def _is_of_the_service(environment: Mapping[str, str] | None) -> bool:
    """Whether a process reads these variables when it likes, and not at its start."""
    return all(name.startswith("PROOFRANK_") for name in environment or {})


def _started(
    command: Sequence[str],
    variables: Mapping[str, str],
    output: int,
    errors: int,
    *,
    module: str = _COMMAND,
    is_fresh: bool,
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Starts a process of ``proofrank``, as a new Python or as a copy of one that has imported the service.

    Args:
        command: arguments of ``proofrank``.
        variables: all its variables.
        output: descriptor of its standard output.
        errors: that of its standard error.
        module: module that a new Python runs.
        is_fresh: whether it is a new Python.
    """
    if not is_fresh:
        return ForkedProcess(command, variables, output, errors)
    return subprocess.Popen(
        [sys.executable, "-m", module, *command], cwd=REPOSITORY, env=variables, stdout=output, stderr=errors
    )


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this environment for servers of tests: without settings of the service, with ``extra``.

    The servers have one thread for torch, and close their port at once, because no load balancer watches them.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROOFRANK_")}
    fit = {"OMP_NUM_THREADS": "1", "PROOFRANK_THREADS": "1", "PROOFRANK_DRAIN_SECONDS": "0"}
    return {**kept, **fit, "PYTHONPATH": str(REPOSITORY), **(extra or {})}


def run_without(library: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``proofrank`` in a process where ``library`` cannot be imported."""
    # A module of None counts as missing.
    hide = f"import runpy, sys; sys.modules[{library!r}] = None"
    code = f"{hide}; runpy.run_module('proofrank', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


class RunningServer:
    """A server process; a context manager that ends it.

    Attributes:
        client: client of the server, once :meth:`wait_until_listening` has returned.
    """

    client: httpx.Client

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        module: str = _COMMAND,
        is_fresh: bool = False,
    ) -> None:
        """Args:
        arguments: arguments of ``serve``.
        environment: variables that override those of this process.
        module: module to run in place of the command.
        is_fresh: whether the process begins as a new Python, as a user's does, and not as a copy of one that has
            imported the service; so it does also with another module, and with variables that are not the service's.
        """
        # Default data folder: never the user's, and servers may run side by side.
        self._data_home = tempfile.TemporaryDirectory(prefix="proofrank-")
        command = ["serve", "--port", "0", *arguments]
        variables = clean_environment({"XDG_DATA_HOME": self._data_home.name, **(environment or {})})
        is_fresh |= module != _COMMAND or not _is_of_the_service(environment)
        reading, writing = os.pipe()
        self._errors = os.fdopen(reading, encoding="utf-8")
        with Path(os.devnull).open("wb") as nothing, os.fdopen(writing, "wb") as errors:
            self._process = _started(
                command, variables, nothing.fileno(), errors.fileno(), module=module, is_fresh=is_fresh
            )
        self._lines: list[str] = []
        self._url: str | None = None
        self._has_url_or_end = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """The server's output to standard error so far."""
        return "".join(self._lines)

    @property
    def process_id(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def url(self) -> str:
        """The server's URL."""
        assert self._url is not None, self.log
        return self._url

    def wait_until_listening(self) -> RunningServer:
        """Returns once the server accepts connections."""
        assert self._has_url_or_end.wait(_PATIENCE), f"the server does not listen:\n{self.log}"
        if not hasattr(self, "client"):
            self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)
        return self

    def wait_until_ready(self) -> RunningServer:
        """Returns once ``/readyz`` reports that the server is ready."""
        self.wait_until_listening()
        deadline = time.monotonic() + _PATIENCE
        while self.client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline, f"the server does not get ready:\n{self.log}"
            time.sleep(0.02)
        return self

    @contextmanager
    def unfinished_request(self, path: str, body: bytes) -> Iterator[socket.socket]:
        """Yields a connection on which the server has accepted a POST and waits for its ``body``."""
        url = httpx.URL(self.url)
        with socket.create_connection((url.host, url.port or 0), timeout=_PATIENCE) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            # This answer is sent when the body is read.
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")
            yield connection

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Returns the exit status, once the server has ended by itself."""
        status = self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return status

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._data_home.cleanup()

    def _read_log(self) -> None:
        with self._errors as log:
            for line in log:
                self._lines.append(line)
                match = _LISTENING.search(line)
                if match is not None:
                    self._url = match[1]
                    self._has_url_or_end.set()
        self._has_url_or_end.set()


def run_command(
    *arguments: str, environment: Mapping[str, str] | None = None, encoding: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs ``proofrank`` with ``arguments`` as a separate process whose output has ``encoding``.

    With variables that are not the service's, the process begins as a new Python, as a user's does.
    """
    with (
        tempfile.TemporaryDirectory(prefix="proofrank-") as data_home,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        variables = clean_environment({"XDG_DATA_HOME": data_home, **(environment or {})})
        is_fresh = not _is_of_the_service(environment)
        process = _started(arguments, variables, output.fileno(), errors.fileno(), is_fresh=is_fresh)
        try:
            status = process.wait(_PATIENCE)
        except BaseException:
            process.kill()
            process.wait()
            raise
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(encoding or "utf-8"))
        return subprocess.CompletedProcess(arguments, status, *texts)
