"""Lines of names in files of candidates: a name that the dataset does not know is refused with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proofrank.core.choices import SIDES, Side
from proofrank.core.errors import DatasetError, UnknownNameError
from proofrank.core.formats.text import Line, read_text
from proofrank.core.graph import Vocabulary


def columns(line: Line, least: int, expected: str) -> list[str]:
    """The tab-separated columns of a line.

    Raises:
        DatasetError: there are fewer than ``least``, or one is empty.
    """
    found = [name.strip(" \r") for name in line.text.split("\t")]
    while found and not found[-1]:
        found.pop()  # tabs at the end of a line
    if len(found) < least or not all(found):
        raise line.error("too few columns" if len(found) < least else "an empty column", expected)
    return found


def side_of(name: str, line: Line) -> Side:
    """The side that a column names. Raises DatasetError for another word."""
    for side in SIDES:
        if name == side:
            return side
    raise line.error(f"side {name!r}", "head or tail")


def constants_of(names: Sequence[str], vocabulary: Vocabulary, line: Line) -> np.ndarray:
    """The indices of constants, in order, ``[n]`` int64. Raises DatasetError for an unknown name."""
    try:
        return np.array([vocabulary.constant_index(name) for name in names], dtype=np.int64)
    except UnknownNameError as error:
        raise unknown(error, line) from error


def predicate_of(name: str, vocabulary: Vocabulary, line: Line) -> int:
    """The index of a predicate. Raises DatasetError for an unknown name."""
    try:
        return vocabulary.predicate_index(name)
    except UnknownNameError as error:
        raise unknown(error, line) from error


def unknown(error: UnknownNameError, line: Line) -> DatasetError:
    """The error about a name that stands on a line."""
    return DatasetError(f"{line.path}:{line.number}: {error}")


def content_of(path: Path) -> str:
    """The SHA-256 of a file's text, in hexadecimal, by which two files are told apart."""
    return hashlib.sha256(read_text(path).encode()).hexdigest()
