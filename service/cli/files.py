"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.errors import ProofrankError


def write_output(flag: str, path: Path, text: str) -> None:
    """Writes what ``flag`` asks for; makes the folders that lead there.

    Raises:
        ProofrankError: names ``flag``, ``path`` and the reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProofrankError(f"{flag} {path}: cannot be written: {error.strerror}") from error


def check_writable(flag: str, path: Path | None) -> None:
    """Refuses a file that cannot be written before the work whose result it is for; makes the folders that lead there.

    Raises:
        ProofrankError: names ``flag``, ``path`` and the reason.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise ProofrankError(f"{flag} {path}: cannot be written: {error.strerror}") from error
