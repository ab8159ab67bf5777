"""Reads triple files: ``predicate(first,second).`` a line, or ``head<TAB>relation<TAB>tail``.

The form is told for the whole file, by the form that most of its lines have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.formats.atoms import PLAIN_ATOM, NamedAtom, parse_atom
from proofrank.core.formats.prolog import Clause, read_clauses
from proofrank.core.formats.quoting import is_quoted, mask, quoted_at
from proofrank.core.formats.text import Line, content_lines
from proofrank.core.formats.warnings import DatasetWarning, WarningCollector

COLUMNS, FACTS, NOTHING = "tab-separated", "Prolog facts", "empty"

TRIPLE_FORMS = "'predicate(first,second).' or 'head<TAB>relation<TAB>tail'"
_FORM = {COLUMNS: "'head<TAB>relation<TAB>tail'", FACTS: "'predicate(first,second).'"}

_HEADERS = (
    {"head", "subject", "source", "from", "h", "s", "sub", "subj", "entity1"},
    {"relation", "predicate", "rel", "r", "p", "edge", "property", "label", "pred"},
    {"tail", "object", "target", "to", "t", "o", "obj", "entity2"},
)
"""Words of the three columns of a header line."""

_HEADER_ENDS = ("_id", "_name", "_entity", "_label", "_type")
"""What may stand behind them."""

_FULL_STOP = re.compile(r"\s+\.$")


@dataclass(frozen=True)
class TripleFile:
    """The triples of one file.

    Attributes:
        path: the file.
        format: ``tab-separated``, ``Prolog facts`` or ``empty``.
        triples: its distinct triples, in the order of the file.
        lines: number of the line of each.
        num_duplicates: how many further lines said the same as an earlier one.
        warnings: what is probably wrong in the file, duplicates included.
    """

    path: Path
    format: str
    triples: tuple[NamedAtom, ...]
    lines: tuple[int, ...]
    num_duplicates: int
    warnings: tuple[DatasetWarning, ...]


def read_triples(path: Path) -> TripleFile:
    """Reads the triples of ``path``; duplicates are dropped and counted.

    Raises:
        DatasetError: a line is no triple, or none of the file's form; names path, line number, line and what was
            expected.
    """
    lines = list(content_lines(path))
    form = _form_of(lines)
    warnings = WarningCollector()
    distinct: dict[NamedAtom, int] = {}
    num_duplicates = 0
    for number, triple in _read(lines, form, warnings):
        if triple in distinct:
            num_duplicates += 1
            warnings.add("duplicate-triple", path, number, f"{triple}, as in line {distinct[triple]}")
        else:
            distinct[triple] = number
    return TripleFile(
        path, form, tuple(distinct), tuple(distinct.values()), num_duplicates, warnings.warnings
    )


def _read(lines: list[Line], form: str, warnings: WarningCollector) -> Iterator[tuple[int, NamedAtom]]:
    if form == FACTS:
        for clause in read_clauses(lines):
            yield clause.line.number, _read_fact(clause)
    else:
        yield from _read_columns([line for line in lines if not _is_comment(line)], warnings)


def _is_comment(line: Line) -> bool:
    """A line with tabs is none, for names may begin with the sign."""
    return line.text.startswith("%") and "\t" not in line.text


def _form_of(lines: Iterable[Line]) -> str:
    votes = {COLUMNS: 0, FACTS: 0, NOTHING: 0}
    for line in lines:
        if not _is_comment(line):
            votes[_form_of_line(line.text)] += 1
    if votes[COLUMNS] == votes[FACTS]:
        first = next((form for line in lines if (form := _form_of_line(line.text)) != NOTHING), NOTHING)
        return first if votes[COLUMNS] else (COLUMNS if votes[NOTHING] else NOTHING)
    return COLUMNS if votes[COLUMNS] > votes[FACTS] else FACTS


def _form_of_line(text: str) -> str:
    if "\t" not in text:
        return FACTS if "(" in text else NOTHING
    # A tab within an atom, or behind it, is white space.
    return FACTS if _is_atom_with_tabs(text) else COLUMNS


def _is_atom_with_tabs(text: str) -> bool:
    opening = text.find("(", quoted_at(text, 0))
    if opening < 0 or "\t" in text[:opening]:
        return False
    closing = mask(text).find(")", opening)
    return closing >= 0 and text[closing + 1 :].strip(" \t.") == ""


def _read_fact(clause: Clause) -> NamedAtom:
    if PLAIN_ATOM.fullmatch(clause.text) is None:
        outer = mask(clause.text)
        if "(" not in outer:
            raise clause.line.error("no triple", TRIPLE_FORMS)
        if ":-" in outer:
            raise clause.line.error("a rule", f"a fact, {TRIPLE_FORMS}; rules belong into the rules file")
        opening = outer.find("(")
        predicate = clause.text[:opening].strip()
        closing = outer.find(")", opening)
        if closing >= 0 and "(" in outer[closing:]:
            raise clause.line.error("no triple", TRIPLE_FORMS)
        if not is_quoted(predicate) and any(map(str.isspace, predicate)):
            raise clause.line.error(
                f"no triple: a blank in {predicate!r}",
                f"{TRIPLE_FORMS}, a predicate with blanks between quotes",
            )
    return parse_atom(clause.text, clause.line)


def _read_columns(lines: list[Line], warnings: WarningCollector) -> Iterator[tuple[int, NamedAtom]]:
    triples = [(line, _parse_columns(line, warnings)) for line in lines]
    if triples and _is_header(triples[0][1], [triple for _, triple in triples[1:]]):
        line, header = triples.pop(0)
        warnings.add(
            "header-line", line.path, line.number, repr(f"{header.first} {header.predicate} {header.second}")
        )
    if len(triples) > 1 and all(triple.second.endswith(".") for _, triple in triples):
        for line, triple in triples:
            warnings.add("attached-full-stop", line.path, line.number, repr(triple.second))
    for line, triple in triples:
        quoted = [name for name in triple if name[0] == '"' and is_quoted(name)]
        if quoted:
            warnings.add("quoted-column", line.path, line.number, quoted[0])
        yield line.number, triple


def _is_header(first: NamedAtom, others: list[NamedAtom]) -> bool:
    """Whether the first line names the columns: by words that no other line has."""
    words = [_header_word(name) for name in (first.first, first.predicate, first.second)]
    if not all(word in known for word, known in zip(words, _HEADERS, strict=True)):
        return False
    if not others and max(map(len, words)) == 1:
        return False  # one triple of three letters
    return not any(
        first.first in triple[1:] or first.second in triple[1:] or first.predicate == triple.predicate
        for triple in others
    )


def _header_word(name: str) -> str:
    word = name.lstrip("#").strip(" \"'").casefold().replace(" ", "_")
    for end in _HEADER_ENDS:
        word = word.removesuffix(end)
    return word


def _parse_columns(line: Line, warnings: WarningCollector) -> NamedAtom:
    columns = line.text.split("\t")
    if len(columns) == 1:
        raise line.error(
            "no triple", f"{_FORM[COLUMNS]}, the form of this file" if "(" in line.text else TRIPLE_FORMS
        )
    if _is_atom_with_tabs(line.text):
        raise line.error("a fact in Prolog's form", f"{_FORM[COLUMNS]}, the form of this file")
    num_columns = len(columns)
    while len(columns) > 3 and not columns[-1].strip():
        columns.pop()
    if len(columns) < num_columns:
        warnings.add("trailing-tab", line.path, line.number, repr(line.shown()))
    if len(columns) == 4 and columns[3].strip() == ".":
        columns.pop()
        warnings.add("full-stop", line.path, line.number, repr(line.shown()))
    if len(columns) != 3:
        raise line.error(f"{num_columns} tab-separated columns, arity {num_columns - 1}", TRIPLE_FORMS)
    head, relation, tail = (column.strip() for column in columns)
    if _FULL_STOP.search(tail):
        tail = _FULL_STOP.sub("", tail)
        warnings.add("full-stop", line.path, line.number, repr(line.shown()))
    if not head or not relation or not tail:
        raise line.error("an empty name", TRIPLE_FORMS)
    return NamedAtom(relation, head, tail)
