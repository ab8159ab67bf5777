"""Helpers of an evaluation: processes of this machine that prove some of its candidates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from proofrank.core.evaluator.own_process import OwnProcess
from proofrank.core.evaluator.parallel.messages import Dropped, Given, Proved, Ready, Started, Unable
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.evaluator.work import Work
from proofrank.core.prover import Candidates

logger = logging.getLogger("proofrank")

_PROGRAM = "proofrank.core.evaluator.parallel.helper_process"


@dataclass(frozen=True)
class Blueprint:
    """What a helper makes its stream of.

    Attributes:
        make: makes the stream; a function of a module, since it is sent by its name.
        arguments: its arguments by name.
    """

    make: Callable[..., CandidateStream]
    arguments: Mapping[str, Any]

    def make_stream(self) -> CandidateStream:
        """Makes the stream. Raises what ``make`` raises."""
        return self.make(**self.arguments)


class Helper:
    """A process that proves candidates.

    Attributes:
        is_ready: whether it has its evaluator.
        given: places of the candidates that it was given and that are not done.
        work: what it has done so far.
    """

    def __init__(self, blueprint: bytes, engine: str) -> None:
        """Starts a helper, which will tell when it is ready.

        Args:
            blueprint: a pickled :class:`Blueprint`.
            engine: name of the engine that it must come to.

        Raises:
            OSError: no process can be started.
        """
        self.is_ready = False
        self.given: set[int] = set()
        self.work = Work()
        self._blueprint = blueprint
        self._engine = engine
        self._evaluation = -1
        self._process = OwnProcess(_PROGRAM)

    @property
    def connection(self) -> Connection:
        """This end of the connection with its process."""
        return self._process.connection

    @property
    def process_id(self) -> int:
        """The id of its process."""
        return self._process.process_id

    def give(
        self, evaluation: int, indices: np.ndarray, candidates: Candidates, num_lanes: int | None
    ) -> None:
        """Gives it ``candidates`` ``[n]`` with their places ``indices`` ``[n]``."""
        self._evaluation = evaluation
        self.given.update(indices.tolist())
        with suppress(OSError):  # it has ended, as receive() will tell
            self.connection.send(Given(evaluation, indices, candidates, num_lanes))

    def drop(self) -> None:
        """Tells it that the rest is no longer needed."""
        self.given.clear()
        with suppress(OSError):
            self.connection.send(Dropped())

    def receive(self) -> Proved | None:
        """Receives one message: finished candidates of its last evaluation, or nothing that concerns them.

        Raises:
            EOFError: it has ended, or cannot be used; its candidates need another.
        """
        try:
            message = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        if isinstance(message, Proved):
            self.work = message.work
            if message.evaluation != self._evaluation or not self.given:
                return None  # of an evaluation that was dropped
            self.given.difference_update(message.ended.indices.tolist())
            return message
        if isinstance(message, Started):
            # Only now, because sending much to a process that does not read yet would wait for it.
            self._send_blueprint()
            return None
        if isinstance(message, Unable):
            logger.warning("no further process can take part in the evaluation: %s", message.reason)
            raise EOFError
        assert isinstance(message, Ready)
        if message.engine != self._engine:
            # One engine for one evaluation: others may round differently.
            logger.warning(
                "a further process came to engine %s in place of %s, and takes no part in the evaluation",
                message.engine,
                self._engine,
            )
            raise EOFError
        self.is_ready = True
        return None

    def close(self) -> int:
        """Ends it; gives its exit status."""
        return self._process.close()

    def _send_blueprint(self) -> None:
        with suppress(OSError):
            self.connection.send_bytes(self._blueprint)
