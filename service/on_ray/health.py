"""The health of a replica; Ray Serve replaces one that cannot recover."""

from __future__ import annotations

import time

from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import DRAINING, READY

_PATIENCE_SECONDS = 120.0


class NotUsableError(Exception):
    """The evaluator of this replica cannot recover by itself."""


class EvaluatorHealth:
    """Watches the host of an evaluator.

    An evaluator that raises is made again, which takes seconds. If that fails for minutes, as after a GPU error that
    lasts until the process ends, only a new process can help.
    """

    def __init__(self, host: EvaluatorHost, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._host = host
        self._patience = patience_seconds
        self._was_ready = False
        self._missing_since: float | None = None

    def check(self) -> None:
        """Raises NotUsableError if the evaluator could not be loaded, or has not been ready for too long."""
        if self._host.has_failed:
            raise NotUsableError("the evaluator could not be loaded; the log says why")
        if self._host.stage in (READY, DRAINING):
            self._was_ready, self._missing_since = True, None
            return
        # The first start may take longer, because a tick may have to be compiled.
        if not self._was_ready:
            return
        now = time.monotonic()
        self._missing_since = self._missing_since if self._missing_since is not None else now
        if now - self._missing_since > self._patience:
            raise NotUsableError(
                f"the evaluator failed and could not be made again in {self._patience:.0f} seconds"
            )
