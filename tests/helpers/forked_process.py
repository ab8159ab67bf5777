"""Processes of ``proofrank`` that begin as copies of one that has imported the service."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class ForkedProcess:
    """A process of ``proofrank``; what is used of :class:`subprocess.Popen`.

    Attributes:
        pid: its id.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, errors: int
    ) -> None:
        """Starts it.

        Args:
            arguments: of ``proofrank``.
            environment: all its variables; those that Python or the dynamic linker read at a process's start have no
                effect.
            output: descriptor of its standard output, which the caller closes.
            errors: that of its standard error, likewise.
        """
        self._status: int | None = None
        self._received = b""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_address())
        request = json.dumps({"arguments": list(arguments), "environment": dict(environment)})
        message = request.encode() + b"\n"
        num_sent = socket.send_fds(self._connection, [message], [output, errors])
        self._connection.sendall(message[num_sent:])
        self.pid = int(self._line(timeout=None))

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended; negative for the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        if self._status is None:
            self._status = int(self._line(timeout))
            self._connection.close()
        return self._status

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _line(self, timeout: float | None) -> str:
        """The next line of the answer."""
        while b"\n" not in self._received:
            readable, _, _ = select.select([self._connection], [], [], timeout)
            if not readable:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            received = self._connection.recv(64)
            assert received, "the process that is copied has ended"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.decode("ascii")


@functools.cache
def _address() -> str:
    """The socket of the process that is copied, which is started here and ends with this one."""
    folder = tempfile.mkdtemp(prefix="proofrank-")
    address = f"{folder}/socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.fork_server", str(listener.fileno())],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
    )
    listener.close()

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        Path(address).unlink()
        Path(folder).rmdir()

    atexit.register(end)
    return address
