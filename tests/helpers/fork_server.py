"""A process that has imported the service, and starts each server of a test as a copy of itself.

A new Python takes seconds of a processor to import torch and the web's libraries; a copy of this one takes none. A copy
is a process of its own all the same: it has its own id, signals, environment, output and end.

Its standard input is a pipe: it ends when the other end is closed. Each connection on the socket asks for one process,
by a message with two file descriptors, those of standard output and error, and a line of JSON with the ``arguments``
of ``proofrank`` and the ``environment``. It is answered with two lines: the id of the process, and when that has
ended, its exit status, negative for a signal.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from proofrank.service.cli.main import main

IMPORTED = (
    "proofrank.service.app",
    "proofrank.service.cli.evaluate",
    "proofrank.service.cli.serve",
    "proofrank.service.engine.start_checks",
    "proofrank.service.web.process",
    "proofrank.service.web.server",
)
"""Modules that commands import when they run."""

MOST_BYTES = 2**20
"""Maximum size of a request."""


def serve(listener: socket.socket) -> None:
    """Starts a process for each connection, until standard input is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that ended keepers leave no zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([listener, 0], [], [])
        if 0 in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            keep(connection)
        connection.close()


def keep(connection: socket.socket) -> NoReturn:
    """Starts the process, waits for its end and tells both."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, _, _ = socket.recv_fds(connection, MOST_BYTES, 2)
    while not message.endswith(b"\n"):  # the rest of a large environment
        more = connection.recv(MOST_BYTES)
        if not more:
            os._exit(1)
        message += more
    process_id = os.fork()
    if process_id == 0:
        connection.close()
        run(json.loads(message), *descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    # Whoever reads the output of the tests is not to wait for a process that was left.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.close(nothing)
    connection.sendall(f"{process_id}\n".encode())
    _, status = os.waitpid(process_id, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def run(request: dict[str, object], output: int, errors: int) -> NoReturn:
    """Runs ``proofrank`` in this process, and ends it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in enumerate((nothing, output, errors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those of the process that is copied may be files, which these are not.
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict) and isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["proofrank", *arguments]
    sys.exit(main(arguments))


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    # The collector leaves what is there alone; else a copy would look through it, and copy its memory, when it ends.
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
