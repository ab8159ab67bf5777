"""Set-up of a process before it serves, and its end."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal, NoReturn

from prometheus_client import disable_created_metrics

from proofrank.service.telemetry.logs import set_up_logs
from proofrank.service.threads import compute_alone, share_the_interpreter


def set_up_process(log_format: Literal["json", "text"] | None, log_level: str) -> None:
    """Sets up the logs, as :func:`service.telemetry.logs.set_up_logs` takes them, and the threads of the process."""
    set_up_logs(log_format, log_level)
    share_the_interpreter()
    compute_alone()
    disable_created_metrics()


def leave(status: int) -> NoReturn:
    """Ends the process at once, whatever its threads are at; everything that is to be kept must have been closed."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
