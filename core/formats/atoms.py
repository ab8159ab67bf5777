"""Reads atoms, ``predicate(first,second)``, as triple and rule files write them.

Names may hold anything that real graphs hold. A name with a comma, a predicate with a parenthesis or a blank, or a name
that begins or ends with white space or a quote, is written between single or double quotes as in Prolog: ``''`` and
``\\'`` are a quote within, ``\\\\`` is a backslash.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proofrank.core.formats.quoting import is_quoted, mask, quoted_at, split_outer, unquote
from proofrank.core.formats.text import Line

ATOM_FORM = "predicate(first,second)"

PLAIN_ATOM = re.compile(r"([^\s'\"(),%]+)\(([^'\"(),]*),([^'\"(),]*)\)")
"""An atom without quotes, blanks in the predicate or further parentheses; nearly every line of real files is one."""


_NEGATION = re.compile(r"(?:\\\+|[~¬!-]|not(?=[\s(].*\())(?=.*\()", re.DOTALL)
"""How a negated atom begins."""


class NamedAtom(NamedTuple):
    """An atom by its names, as it stands in a file."""

    predicate: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.predicate}({self.first},{self.second})"


class ReadAtom(NamedTuple):
    """An atom, and which of its arguments stood between quotes: those are constants, whatever they look like."""

    atom: NamedAtom
    quoted: frozenset[str]


def parse_atom(text: str, line: Line) -> NamedAtom:
    """The atom that ``text`` writes; raises as :func:`read_atom`."""
    return read_atom(text, line).atom


def check_not_negated(text: str, line: Line) -> None:
    """Raises DatasetError where ``text`` is a negated atom, for only what is true can be said."""
    negation = _NEGATION.match(text.strip())
    if negation is not None:
        raise line.error(
            f"a negated atom, {negation[0]!r}, at {text.strip()!r}",
            f"{ATOM_FORM}, a predicate that begins so between quotes",
        )


def read_atom(text: str, line: Line) -> ReadAtom:
    """The atom that ``text`` writes.

    Raises:
        DatasetError: not an atom, a name is empty, or the arity is not 2; names the line.
    """
    text = text.strip()
    plain = PLAIN_ATOM.fullmatch(text)
    if plain is not None:
        predicate, arguments = plain[1], [plain[2].strip(), plain[3].strip()]
        return _checked(predicate, arguments, frozenset(), line)
    opening = text.find("(", quoted_at(text, 0))
    if opening < 0 or not text.endswith(")"):
        raise line.error(f"no atom at {text!r}", ATOM_FORM)
    predicate, inside = text[:opening].strip(), text[opening + 1 : -1]
    if "(" in inside and mask(text).find(")", opening) != len(text) - 1:
        raise line.error(f"no atom at {text!r}", f"{ATOM_FORM}, and nothing behind it")
    if not is_quoted(predicate) and any(map(str.isspace, predicate)):
        raise line.error(
            f"no atom at {text!r}: a blank in {predicate!r}",
            f"{ATOM_FORM}, a predicate with blanks between quotes",
        )
    arguments = [argument.strip() for argument in split_outer(inside)]
    quoted = frozenset(unquote(argument) for argument in arguments if is_quoted(argument))
    return _checked(unquote(predicate), [unquote(argument) for argument in arguments], quoted, line)


def _checked(predicate: str, arguments: list[str], quoted: frozenset[str], line: Line) -> ReadAtom:
    if len(arguments) != 2:
        raise line.error(f"arity {len(arguments)} of {predicate!r}", f"arity 2, {ATOM_FORM}")
    first, second = arguments
    if not predicate or not first or not second:
        raise line.error("an empty name", ATOM_FORM)
    return ReadAtom(NamedAtom(predicate, first, second), quoted)
