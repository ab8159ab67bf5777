"""What commands tell on standard error."""

from __future__ import annotations


def without_reading(text: str) -> str:
    """``text`` without the lines that say how the files of a dataset were read, what is probably wrong in them, and how
    it is ranked.
    """
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("read /", "warning: /", "ranking ")))
