"""When to send a request again: pauses that grow, with jitter, as long as the server asks for, and bounded in all."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx


@dataclass(frozen=True)
class Retries:
    """How long to go on where the server cannot be reached or takes no requests.

    Attributes:
        total_seconds: no attempt begins later than this after the first; 0 for a single attempt.
        first_pause: seconds before the second attempt, about; each further pause is twice as long.
        longest_pause: seconds that a pause of our own choice does not pass.
    """

    total_seconds: float = 60.0
    first_pause: float = 0.25
    longest_pause: float = 15.0

    def pause(self, num_failed: int, retry_after: float | None = None) -> float:
        """Seconds to wait after ``num_failed`` attempts, at least ``retry_after``.

        Drawn at random: clients that were refused together must not come back together.
        """
        # More doublings than these exceed any pause; the power of two would exceed a float.
        grown = min(self.longest_pause, self.first_pause * 2.0 ** min(num_failed - 1, 60))
        jittered = grown * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if retry_after is None:
            return jittered
        return max(jittered, retry_after * random.uniform(1.0, 1.1))  # noqa: S311 - no secret


def retry_after_seconds(headers: httpx.Headers) -> float | None:
    """What ``Retry-After`` asks for, in seconds or as an HTTP date; None where it is missing or neither."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, now = _date(text), _date(headers.get("Date", ""))
    if until is None:
        return None
    # By the server's own clock where it tells the time: ours may be wrong.
    now = now or datetime.now(until.tzinfo)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None
