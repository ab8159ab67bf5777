"""Reads triple files: ``predicate(first,second).`` a line, or ``head<TAB>relation<TAB>tail``.

The form is told for the whole file, by the form that most of its lines have.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.formats.atoms import PLAIN_ATOM, NamedAtom, check_not_negated, read_atom
from proofrank.core.formats.prolog import Clause, read_clauses
from proofrank.core.formats.quoting import is_quoted, mask, quoted_at
from proofrank.core.formats.text import NUMBER, Line, content_lines, is_comment, other_comment
from proofrank.core.formats.warnings import DatasetWarning, WarningCollector

COLUMNS, FACTS, NOTHING = "tab-separated", "Prolog facts", "empty"

TRIPLE_FORMS = "'predicate(first,second).' or 'head<TAB>relation<TAB>tail'"
_FORM = {COLUMNS: "'head<TAB>relation<TAB>tail'", FACTS: "'predicate(first,second).'"}

_HEADERS = (
    {"head", "subject", "source", "from", "h", "s", "sub", "subj", "src", "start", "lhs", "left"}
    | {f"{word}1" for word in ("entity", "entity_", "ent", "e", "node", "node_", "arg", "concept", "id")},
    {"relation", "predicate", "rel", "r", "p", "edge", "property", "label", "pred", "relationship", "link", "type"},
    {"tail", "object", "target", "to", "t", "o", "obj", "destination", "dest", "dst", "end", "rhs", "right"}
    | {f"{word}2" for word in ("entity", "entity_", "ent", "e", "node", "node_", "arg", "concept", "id")},
)  # fmt: skip
"""Words of the three columns of a header line."""

_HEADER_ENDS = ("_id", "_name", "_entity", "_label", "_type", "_uri", "_node", "_relation")
"""What may stand behind them."""

_FULL_STOP = re.compile(r"\s+\.$|(?<=>)\.$")
"""A full stop behind white space, or behind an address of N-Triples."""

_WEIGHT = re.compile(rf"{NUMBER}\s*::\s*")
"""The probability of a fact of ProbLog."""

_ODD_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd]")
_LIKE_A_COMMENT = re.compile(r"(?:[#%;]|//)\s")


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
            if _ODD_CHARACTER.search("".join(triple)):
                odd = next(name for name in triple if _ODD_CHARACTER.search(name))
                warnings.add("odd-character", path, number, ascii(odd))
    return TripleFile(
        path, form, tuple(distinct), tuple(distinct.values()), num_duplicates, warnings.warnings
    )


def _read(lines: list[Line], form: str, warnings: WarningCollector) -> Iterator[tuple[int, NamedAtom]]:
    if form == FACTS:
        for clause in read_clauses(lines):
            yield clause.line.number, _read_fact(clause, warnings)
    else:
        yield from _read_columns([line for line in lines if not is_comment(line)], warnings)


def _form_of(lines: Iterable[Line]) -> str:
    votes = {COLUMNS: 0, FACTS: 0, NOTHING: 0}
    for line in lines:
        if not is_comment(line):
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


def _read_fact(clause: Clause, warnings: WarningCollector) -> NamedAtom:
    weight = _WEIGHT.match(clause.text)
    if weight is not None:
        warnings.add("weighted-fact", clause.line.path, clause.line.number, repr(clause.line.shown()))
        clause = clause._replace(text=clause.text[weight.end() :])
    check_not_negated(clause.text, clause.line)
    if PLAIN_ATOM.fullmatch(clause.text) is None:
        outer = mask(clause.text)
        if "(" not in outer or clause.text.startswith("# "):
            raise clause.line.error(f"no triple{_what_it_is(clause.text)}", TRIPLE_FORMS)
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
    atom, quoted = read_atom(clause.text, clause.line)
    for name in atom[1:]:
        if name[0] in "'\"" and name not in quoted:
            warnings.add("open-quote", clause.line.path, clause.line.number, name)
    return atom


def _read_columns(lines: list[Line], warnings: WarningCollector) -> Iterator[tuple[int, NamedAtom]]:
    triples = _without_headers([(line, _parse_columns(line, warnings)) for line in lines], warnings)
    if len(triples) > 1 and all(triple.second.endswith(".") for _, triple in triples):
        for line, triple in triples:
            warnings.add("attached-full-stop", line.path, line.number, repr(triple.second))
    for line, triple in triples:
        quoted = [name for name in triple if name[0] == '"' and is_quoted(name)]
        if quoted:
            warnings.add("quoted-column", line.path, line.number, quoted[0])
        if _LIKE_A_COMMENT.match(triple.first):
            warnings.add("like-a-comment", line.path, line.number, repr(line.shown()))
        yield line.number, triple


def _without_headers(
    triples: list[tuple[Line, NamedAtom]], warnings: WarningCollector
) -> list[tuple[Line, NamedAtom]]:
    """The triples without the lines that name the columns, which stand first, or in between where files were joined.

    Raises:
        DatasetError: they name the columns in another order.
    """
    # For speed: few names are relations.
    possible = {name for name in {triple.predicate for _, triple in triples} if _is_header_word(name)}
    orders = {
        place: order
        for place, (_, triple) in enumerate(triples)
        if triple.predicate in possible and (order := _names_columns(triple, place == 0)) is not None
    }
    if not orders:
        return triples
    others = [triple for place, (_, triple) in enumerate(triples) if place not in orders]
    constants = {name for triple in others for name in triple[1:]}
    predicates = {triple.predicate for triple in others}
    left_out: set[int] = set()
    for place, order in orders.items():
        line, header = triples[place]
        if header.predicate in predicates or not constants.isdisjoint(header[1:]):
            continue  # the names come again
        if not others and len(line.text) == 5:
            continue  # one triple of three letters
        if order != (0, 1, 2):
            raise line.error("a header with the columns in another order", _FORM[COLUMNS])
        shown = repr(f"{header.first} {header.predicate} {header.second}")
        warnings.add("header-line", line.path, line.number, shown)
        left_out.add(place)
    return [triple for place, triple in enumerate(triples) if place not in left_out]


def _names_columns(triple: NamedAtom, is_first: bool) -> tuple[int, ...] | None:
    """Which columns the names name, 0 for the head, 1 for the relation and 2 for the tail; None where they do not.

    Letters do so in the first line and in the right order alone.
    """
    words = [_header_word(name) for name in (triple.first, triple.predicate, triple.second)]
    are_letters = min(map(len, words)) == 1
    for order in itertools.permutations(range(3)):
        if all(word in _HEADERS[column] for word, column in zip(words, order, strict=True)):
            return order if not are_letters or (is_first and order == (0, 1, 2)) else None
    return None


def _is_header_word(name: str) -> bool:
    word = _header_word(name)
    return any(word in words for words in _HEADERS)


def _header_word(name: str) -> str:
    word = name.lstrip("#@:").strip(" \"'").casefold().replace(" ", "_")
    for end in _HEADER_ENDS:
        word = word.removesuffix(end)
    return word


_SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars"}


def _what_it_is(text: str) -> str:
    """What a message says of a line without a triple, where it has the form of something else."""
    if comment := other_comment(text):
        return comment
    if text.isdecimal():
        return (
            " (a number alone, as at the top of OpenKE's files of ids; their columns are head, tail and relation, "
            "and blanks separate them)"
        )
    if text.startswith(("{", "[")):
        return " (it looks like JSON)"
    names = text.removesuffix(" .").split()
    if len(names) == 3:
        is_n_triples = all(name.startswith("<") and name.endswith(">") for name in names)
        return f" (blanks separate the names{', as in N-Triples' * is_n_triples}; expected tabs)"
    for separator, words in _SEPARATORS.items():
        if text.count(separator) == 2 and "(" not in text:
            return f" ({words} separate the names; expected tabs)"
    return ""


def _parse_columns(line: Line, warnings: WarningCollector) -> NamedAtom:
    columns = line.text.split("\t")
    if len(columns) == 1:
        raise line.error(
            f"no triple{_what_it_is(line.text)}",
            f"{_FORM[COLUMNS]}, the form of this file" if "(" in line.text else TRIPLE_FORMS,
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
