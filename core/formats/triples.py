"""Reads triple files: ``predicate(first,second).`` a line, or ``head<TAB>relation<TAB>tail``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proofrank.core.formats.atoms import NamedAtom, parse_atom
from proofrank.core.formats.text import Line, read_lines

TRIPLE_FORMS = "'predicate(first,second).' or 'head<TAB>relation<TAB>tail'"


@dataclass(frozen=True)
class TripleFile:
    """The triples of one file.

    Attributes:
        path: the file.
        triples: its distinct triples, in the order of the file.
        num_duplicates: how many further lines said the same as an earlier one.
    """

    path: Path
    triples: tuple[NamedAtom, ...]
    num_duplicates: int


def read_triples(path: Path) -> TripleFile:
    """Reads the triples of ``path``; the form is told line by line, duplicates are dropped and counted.

    Raises:
        DatasetError: a line is no triple; names path, line number, line and what was expected.
    """
    distinct: dict[NamedAtom, None] = {}
    num_lines = 0
    for line in read_lines(path):
        num_lines += 1
        distinct[_parse_triple(line)] = None
    return TripleFile(path, tuple(distinct), num_lines - len(distinct))


def _parse_triple(line: Line) -> NamedAtom:
    text = line.text
    columns = text.split("\t")
    if len(columns) > 1 and not (text.rstrip(" .\t").endswith(")") and len(columns) != 3):
        return _parse_columns(columns, line)
    if "(" not in text:
        raise line.error("no triple", TRIPLE_FORMS)
    if ":-" in text:
        raise line.error("a rule", f"a fact, {TRIPLE_FORMS}; rules belong into the rules file")
    return parse_atom(text.rstrip().removesuffix("."), line)


def _parse_columns(columns: list[str], line: Line) -> NamedAtom:
    if len(columns) != 3:
        raise line.error(f"{len(columns)} tab-separated columns, arity {len(columns) - 1}", TRIPLE_FORMS)
    head, relation, tail = (column.strip() for column in columns)
    if not head or not relation or not tail:
        raise line.error("an empty name", TRIPLE_FORMS)
    return NamedAtom(relation, head, tail)
