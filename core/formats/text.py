"""Lines of text with their place, for readers whose errors name path, line number and line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import DatasetError

_SHOWN = 120

_MOST_BYTES = 2**32
"""Largest text of a file, compressed files after decompression."""


@dataclass(frozen=True)
class Line:
    """One line of a file: where it stands and what it says, stripped of white space around it."""

    path: Path
    number: int
    text: str

    def error(self, problem: str, expected: str = "") -> DatasetError:
        """The error to raise for this line: place, line, problem and what was expected."""
        wanted = f"; expected {expected}" if expected else ""
        return DatasetError(f"{self.path}:{self.number}: {problem} in {self.shown()!r}{wanted}")

    def shown(self) -> str:
        """The text, or the beginning of a long one."""
        return self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "…"


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, which may be compressed by gzip (``.gz``).

    Raises:
        DatasetError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                content = file.read(_MOST_BYTES + 1)
        else:
            content = path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be decompressed: {error}; expected a gzip file") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise DatasetError(f"{path}: more than {_MOST_BYTES} bytes of text; expected a smaller file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}:{number}: byte {content[error.start]:#04x} is not UTF-8; expected a UTF-8 text file"
        ) from error


def content_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank, comments included. Raises as :func:`read_text`."""
    # Not splitlines(): it also splits at characters that a Unicode name may hold.
    for number, raw in enumerate(read_text(path).split("\n"), start=1):
        # A tab at an end marks an empty column of a tab-separated line: keep it.
        stripped = raw.strip(" \r")
        if stripped.strip():
            yield Line(path, number, stripped)


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are neither blank nor a Prolog comment (``%``). Raises as :func:`read_text`."""
    return (line for line in content_lines(path) if not line.text.startswith("%"))
