"""Reads files of depths: a triple and its depth on each line."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.formats.atoms import parse_atom
from proofrank.core.formats.text import read_lines

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
