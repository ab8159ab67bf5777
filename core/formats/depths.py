"""Files of depths, such as ``test_depths.txt``: a triple on each line, and the fewest steps that prove it.

In the files of the public code the depth is -1 where no proof is known. They cannot tell a triple that has none from
one whose proofs need more steps than were searched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from proofrank.core.formats.atoms import PLAIN_ATOM, NamedAtom, parse_atom
from proofrank.core.formats.text import read_lines

NOT_FOUND = -1
"""Depth of a triple without a known proof."""

UNPROVABLE = "unprovable"
"""Name of the depth of a triple that no policy can prove."""

_BLANK = " "
_FORM = "'predicate(first,second) DEPTH' or 'head<TAB>relation<TAB>tail<TAB>DEPTH'"


def read_depths(path: Path) -> dict[tuple[str, str, str], str]:
    """The depth of each triple, by its names (head, relation, tail).

    A depth is a word, usually a number. Such files group the triples of a split by the length of their proofs.

    Raises:
        DatasetError: a line has another form, or a triple has two depths; names path and line.
    """
    depths: dict[tuple[str, str, str], str] = {}
    for line in read_lines(path):
        columns = [column.strip() for column in line.text.split("\t")]
        if len(columns) == 4:
            head, relation, tail, depth = columns
        else:
            text, _, depth = line.text.rpartition(")")
            depth = depth.strip(" \t.")
            atom = parse_atom(f"{text})", line) if text else None
            if atom is None:
                raise line.error("no triple with a depth", _FORM)
            relation, head, tail = atom
        if not depth or any(map(str.isspace, depth)):
            raise line.error("no depth", _FORM)
        if depths.setdefault((head, relation, tail), depth) != depth:
            raise line.error(f"another depth than {depths[head, relation, tail]!r}, in an earlier line")
    return depths


def depths_file(folder: Path, split: str) -> Path:
    """The file of the depths of a split in a dataset's folder; it may be missing."""
    return folder / f"{split}_depths.txt"


def write_depths(path: Path, depths: Iterable[tuple[NamedAtom, int]]) -> list[NamedAtom]:
    """Writes ``predicate(first,second) DEPTH`` for each triple, as the public code reads it.

    Args:
        path: the file; another one of that name is replaced.
        depths: triples and their depths, ``NOT_FOUND`` where no proof is known.

    Returns:
        The triples that it lacks, because the public code could not read their names.
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
