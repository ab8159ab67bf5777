"""The process of a helper: it makes an evaluator of its own and proves what it is given."""

from __future__ import annotations

import pickle
import signal
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection

import torch

from proofrank.core.evaluator.parallel.helpers import Blueprint
from proofrank.core.evaluator.parallel.indexed import IndexedStream
from proofrank.core.evaluator.parallel.messages import Dropped, Given, Proved, Ready, Started, Unable
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.evaluator.work import Work


def run(descriptor: int) -> None:
    """Proves candidates until the other end of the connection is closed.

    Args:
        descriptor: of the connection, which this process has inherited.
    """
    # Of a terminal, which sends it to all of its processes: the one that gives the work decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with Connection(descriptor) as connection:
        try:
            _serve(connection)
        except (EOFError, OSError):
            return  # the other end is closed, or its process has ended


def _serve(connection: Connection) -> None:
    connection.send(Started())
    message = connection.recv_bytes()
    try:
        blueprint: Blueprint = pickle.loads(message)  # noqa: S301 - of the process that has started this one
        stream = blueprint.make_stream()
    except Exception as error:  # a class of the caller's own, which is not found here, may raise anything
        connection.send(Unable(f"{type(error).__name__}: {error}"))
        return
    connection.send(Ready(stream.engine))
    with ThreadPoolExecutor(1) as sender:
        _prove(connection, stream, sender)


def _prove(connection: Connection, stream: CandidateStream, sender: ThreadPoolExecutor) -> None:
    """Proves what it is given.

    The other process reads only between its looks. A thread sends, so that the next tick need not wait for it, and so
    that the two never wait for each other with full buffers.
    """
    candidates = IndexedStream(stream)
    sent: deque[Future[None]] = deque()
    evaluation, num_lanes = -1, None
    while True:
        while not candidates.num_held or connection.poll():
            message = connection.recv()
            if isinstance(message, Dropped):
                candidates.drop()
            else:
                assert isinstance(message, Given)
                evaluation, num_lanes = message.evaluation, message.num_lanes
                candidates.put(message.indices, message.candidates)
        ended = candidates.move(num_lanes)
        if len(ended.indices) or ended.errors:
            proved = Proved(evaluation, ended, getattr(stream, "work", Work()))
            sent.append(sender.submit(connection.send, proved))
        while sent and sent[0].done():
            sent.popleft().result()
