"""What a process sets up before it serves, whoever runs it."""

from __future__ import annotations

from typing import Literal

from prometheus_client import disable_created_metrics

from service.logs import set_up_logs
from service.threads import compute_alone, share_the_interpreter


def set_up_process(log_format: Literal["json", "text"] | None, log_level: str) -> None:
    """Sets up the logs, as :func:`service.logs.set_up_logs` takes them, and the threads of the process."""
    set_up_logs(log_format, log_level)
    share_the_interpreter()
    compute_alone()
    disable_created_metrics()
