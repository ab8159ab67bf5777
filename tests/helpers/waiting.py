"""Waits for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0
"""Seconds after which a missing event counts as a failure; never waited in full."""


def wait_until(
    is_so: Callable[[], Any],
    what: str = "what was waited for",
    *,
    patience: float = PATIENCE,
    pause: float = 0.02,
) -> None:
    """Returns once ``is_so`` returns a true value.

    Args:
        is_so: is asked again and again.
        what: name of it, for the failure.
        patience: seconds after which that counts as a failure.
        pause: seconds between two questions.
    """
    ends = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < ends, f"not in time: {what}"
        time.sleep(pause)
