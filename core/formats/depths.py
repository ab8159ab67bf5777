"""Files of depths, such as ``test_depths.txt``: the fewest steps that prove each triple, as the public code reads them.

A line is ``relation(head,tail) DEPTH``. The depth is -1 where no proof is known; the form cannot tell a triple that
has none from one whose proofs need more steps than were searched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from proofrank.core.formats.atoms import PLAIN_ATOM, NamedAtom, parse_atom
from proofrank.core.formats.text import Line, read_lines

NOT_FOUND = -1
"""Depth of a triple without a known proof."""

UNPROVABLE = "unprovable"
"""Name of the depth of a triple that no policy can prove."""

DEPTH_FORM = "'relation(head,tail) DEPTH', with a depth of 1 or more, or -1"

_BLANK = " "


def depths_file(folder: Path, split: str) -> Path:
    """The file of the depths of a split in a dataset's folder; it may be missing."""
    return folder / f"{split}_depths.txt"


def read_depths(path: Path) -> dict[NamedAtom, int]:
    """Reads a file of depths: triple -> depth, or ``NOT_FOUND``.

    Raises:
        DatasetError: the file cannot be read, a line has another form, or a triple stands there with two depths.
    """
    depths: dict[NamedAtom, int] = {}
    for line in read_lines(path):
        text, _, number = line.text.rpartition(_BLANK)
        depth = _depth(number, line)
        atom = parse_atom(text, line)
        if depths.setdefault(atom, depth) != depth:
            raise line.error(
                f"depth {depth} of a triple with depth {depths[atom]} before", "one depth of each triple"
            )
    return depths


def write_depths(path: Path, depths: Iterable[tuple[NamedAtom, int]]) -> list[NamedAtom]:
    """Writes a file of depths.

    Args:
        path: the file; another one of that name is replaced.
        depths: triples and their depths, ``NOT_FOUND`` where no proof is known.

    Returns:
        The triples that it lacks, because the code that reads it could not read their names.
    """
    left_out: list[NamedAtom] = []
    lines: list[str] = []
    for atom, depth in depths:
        is_plain = PLAIN_ATOM.fullmatch(str(atom)) is not None and _BLANK not in str(atom)
        if is_plain:
            lines.append(f"{atom}{_BLANK}{depth}\n")
        else:
            left_out.append(atom)
    path.write_text("".join(lines), encoding="utf-8")
    return left_out


def _depth(text: str, line: Line) -> int:
    if text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 9:
        return int(text)
    if text == str(NOT_FOUND):
        return NOT_FOUND
    raise line.error(f"no depth at {text!r}", DEPTH_FORM)
