"""Lines of text with their place, for readers whose errors name path, line number and line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import DatasetError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
"""A number in a file, as a regular expression."""

_SHOWN = 120

_MOST_BYTES = 2**32
"""Largest text of a file, compressed files after decompression."""

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = "\ufeff"


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
            if path.stat().st_size == 0:
                raise EOFError("it is empty")
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
    if content.startswith(_GZIP):
        raise DatasetError(f"{path}: compressed by gzip; expected a UTF-8 text file, or .gz behind the name")
    if content.startswith(_UTF_16):
        raise DatasetError(f"{path}: UTF-16; expected a UTF-8 text file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}:{number}: byte {content[error.start]:#04x} is not UTF-8; expected a UTF-8 text file"
        ) from error
    zero = content.find(b"\0")
    if zero >= 0:
        number = content.count(b"\n", 0, zero) + 1
        raise DatasetError(f"{path}:{number}: a zero byte, as UTF-16 has them; expected a UTF-8 text file")
    return text


def content_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank, comments included. Raises as :func:`read_text`.

    Lines end with LF, CRLF or, in a file without LF, CR. A byte order mark at the beginning of a line, as in files that
    were joined, is no part of it.
    """
    text = read_text(path)
    # Not splitlines(): it also splits at characters that a Unicode name may hold.
    for number, raw in enumerate(text.split("\n" if "\n" in text else "\r"), start=1):
        # A tab at an end marks an empty column of a tab-separated line: keep it.
        stripped = raw.strip(" \r").removeprefix(_BYTE_ORDER_MARK).lstrip(" ")
        if stripped.strip():
            yield Line(path, number, stripped)


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are neither blank nor a comment. Raises as :func:`read_text`."""
    return (line for line in content_lines(path) if not is_comment(line))


def other_comment(text: str) -> str:
    """What a message says of a line that is a comment in other languages; nothing of others."""
    return " (a comment begins with '%')" if text.startswith(("#", "//")) else ""


def is_comment(line: Line) -> bool:
    """Whether a line is a comment: it begins with ``%`` and has no tab, for names may begin with the sign."""
    return line.text.startswith("%") and "\t" not in line.text
