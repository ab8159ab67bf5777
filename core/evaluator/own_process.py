"""A further process of this program: it runs a function of a module, and ends with the process that has started it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import weakref
from contextlib import suppress
from multiprocessing.connection import Connection

_PROGRAM = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).run(int(sys.argv[3]))"
)
"""Program of the process. It imports nothing of the caller's own, so a script of a user needs no guard around its
code."""

_SECONDS_TO_END = 5.0
"""Time that a process has to end, in seconds, before it is killed."""


class OwnProcess:
    """A process that is connected with this one.

    Attributes:
        connection: this end of the connection; what is sent must be pickled by this program itself.
    """

    def __init__(self, module: str, *, is_silent: bool = False) -> None:
        """Starts it.

        Args:
            module: name of a module of ``proofrank`` with a function ``run``, which is called with the descriptor of
                the other end, and should return once this end is closed.
            is_silent: whether nothing that it writes is shown.

        Raises:
            OSError: no process can be started.
        """
        output = subprocess.DEVNULL if is_silent else None
        mine, its = socket.socketpair()
        with its:
            command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), module, str(its.fileno())]
            try:
                process = subprocess.Popen(  # noqa: S603 - this program, by this interpreter
                    command,
                    pass_fds=[its.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            except OSError:
                mine.close()
                raise
        self.connection = Connection(mine.detach())
        self._process = process
        # Runs without a call of `close` too, and at the end of the interpreter.
        self._end = weakref.finalize(self, _end, process, self.connection)

    @property
    def process_id(self) -> int:
        """The id of the process."""
        return self._process.pid

    def close(self) -> int:
        """Ends it; gives its exit status."""
        self._end()
        return self._process.returncode


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    # Closing alone would not reach the process while a thread of this one waits for a message.
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
    connection.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
