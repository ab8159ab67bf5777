"""Times as text: RFC 3339, in UTC, to the millisecond, in logs, answers and files alike."""

from __future__ import annotations

from datetime import UTC, datetime


def write_time(time: datetime) -> str:
    """A time that knows its zone, as in ``2026-11-24T12:25:26.254Z``."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def rewrite_time(text: str) -> str:
    """The same for a time in any form of ISO 8601 with a zone. Raises ValueError for what is none."""
    return write_time(datetime.fromisoformat(text))
