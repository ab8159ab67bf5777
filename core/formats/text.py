"""Lines of text with their place, for readers whose errors name path, line number and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import DatasetError

_SHOWN = 120


@dataclass(frozen=True)
class Line:
    """One line of a file: where it stands and what it says, stripped of white space around it."""

    path: Path
    number: int
    text: str

    def error(self, problem: str, expected: str = "") -> DatasetError:
        """The error to raise for this line: place, line, problem and what was expected."""
        shown = self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "…"
        wanted = f"; expected {expected}" if expected else ""
        return DatasetError(f"{self.path}:{self.number}: {problem} in {shown!r}{wanted}")


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a UTF-8 file that are neither blank nor a Prolog comment (``%``).

    Raises:
        DatasetError: the file cannot be read, or a line is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}:{number}: byte {content[error.start]:#04x} is not UTF-8; expected a UTF-8 text file"
        ) from error
    # Not splitlines(): it also splits at characters that a Unicode name may hold.
    for number, raw in enumerate(text.split("\n"), start=1):
        # A tab at an end marks an empty column of a tab-separated line: keep it.
        stripped = raw.strip(" \r")
        if stripped.strip() and not stripped.startswith("%"):
            yield Line(path, number, stripped)
