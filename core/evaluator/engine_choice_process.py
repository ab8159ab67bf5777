"""The process that compiles beside a server and finds out which engine is faster, at a low priority."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from proofrank.core.errors import DatasetError
from proofrank.core.evaluator.engine_choice import EngineChoice, EngineQuestion
from proofrank.core.evaluator.own_process import OwnProcess
from proofrank.core.graph import Dataset, load_dataset

NICENESS = 10
"""Niceness of the process: beside a busy program of the usual one it gets a tenth of a processor."""


@dataclass(frozen=True)
class DatasetSource:
    """Where the process reads the graph: to send a large one would hold up the sender.

    Attributes:
        folder: the dataset's folder.
        rules_format: format of its rules; None to tell by the file.
        content_hash: SHA-256 that the dataset must have.
    """

    folder: Path
    rules_format: str | None
    content_hash: str

    def load(self) -> Dataset:
        """Reads it. Raises DatasetError if it cannot be read or has changed."""
        dataset = load_dataset(self.folder, rules_format=self.rules_format)
        if dataset.content_hash != self.content_hash:
            raise DatasetError(f"the files in {self.folder} have changed since the dataset was read")
        return dataset


@dataclass(frozen=True)
class Asked:
    """What the process is sent.

    Attributes:
        source: where the graph is.
        options: the fields of the :class:`EngineQuestion` but the dataset.
        num_threads: threads of torch, those of the process that asks.
        niceness: how much it steps back for others.
    """

    source: DatasetSource
    options: Mapping[str, Any]
    num_threads: int
    niceness: int

    def question(self) -> EngineQuestion:
        """The question, with the graph read anew. Raises DatasetError."""
        return EngineQuestion(self.source.load(), **self.options)


@dataclass(frozen=True)
class NoAnswer:
    """What the process sends if there is no answer.

    Attributes:
        reason: why, in words.
    """

    reason: str


class EngineChoiceProcess:
    """Finds the answer in a process of its own, which steps back for others."""

    def __init__(
        self, question: EngineQuestion, source: DatasetSource, num_threads: int, niceness: int = NICENESS
    ) -> None:
        """Starts the process.

        Args:
            question: what to find out; all but the graph is pickled, for this program's own process.
            source: where the process reads the graph.
            num_threads: threads of torch, as the evaluator of this process has.
            niceness: see ``NICENESS``.

        Raises:
            OSError: no process can be started.
        """
        options = {
            field.name: getattr(question, field.name) for field in fields(question) if field.name != "dataset"
        }
        self._asked = Asked(source, options, num_threads, niceness)
        # What compilers write would stand between the lines of the server's log.
        self._process = OwnProcess(__name__, is_silent=True)

    @property
    def process_id(self) -> int:
        """The id of the process."""
        return self._process.process_id

    def answer(self) -> EngineChoice | NoAnswer:
        """Waits for the answer; from any thread, once. :meth:`close` ends the wait."""
        connection = self._process.connection
        try:
            connection.send_bytes(pickle.dumps(self._asked))
            answer = connection.recv()
        except (EOFError, OSError):
            return NoAnswer(f"its process has ended with status {self._process.close()}")
        except Exception as error:  # what cannot be pickled may raise anything
            return NoAnswer(f"{type(error).__name__}: {error}")
        assert isinstance(answer, EngineChoice | NoAnswer)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.close()


def run(descriptor: int) -> None:
    """Answers the question that comes by the connection, and ends.

    Args:
        descriptor: of the connection, which this process has inherited.
    """
    # Of a terminal, which sends it to all of its processes: the one that asks decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        threading.Thread(target=_end_with, args=[connection], daemon=True).start()
        try:
            asked: Asked = pickle.loads(message)  # noqa: S301 - of the process that has started this one
            os.nice(asked.niceness)
            torch.set_num_threads(asked.num_threads)
            answer: EngineChoice | NoAnswer = asked.question().answer()
        except Exception as error:  # whatever the compiler may raise
            answer = NoAnswer(f"{type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except OSError:
            return


def _end_with(connection: Connection) -> None:
    """Ends this process once the other end is closed: the compiler cannot be told to stop."""
    try:
        connection.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
