"""Reads atoms, ``predicate(first,second)``, as triple and rule files write them.

Names may hold anything that real graphs hold; a name with a comma, a predicate with a parenthesis, or
a name that begins or ends with white space, is written between single quotes as in Prolog (``''`` is a quote
within).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proofrank.core.formats.text import Line

ATOM_FORM = "predicate(first,second)"

_QUOTED_PREDICATE = re.compile(r"'(?:[^']|'')*'(?=\s*\()")


class NamedAtom(NamedTuple):
    """An atom by its names, as it stands in a file."""

    predicate: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.predicate}({self.first},{self.second})"


def parse_atom(text: str, line: Line) -> NamedAtom:
    """The atom that ``text`` writes.

    Raises:
        DatasetError: not an atom, a name is empty, or the arity is not 2; names the line.
    """
    text = text.strip()
    quoted = _QUOTED_PREDICATE.match(text) if text.startswith("'") else None
    opening = text.find("(", quoted.end() if quoted is not None else 0)
    if opening < 0 or not text.endswith(")"):
        raise line.error(f"no atom at {text!r}", ATOM_FORM)
    predicate = unquote(text[:opening].strip())
    inside = text[opening + 1 : -1]
    # The plain split is for speed: this runs once per fact.
    is_plain = "'" not in inside and "(" not in inside
    arguments = inside.split(",") if is_plain else split_commas(inside)
    arguments = [unquote(argument.strip()) for argument in arguments]
    if len(arguments) != 2:
        raise line.error(f"arity {len(arguments)} of {predicate!r}", f"arity 2, {ATOM_FORM}")
    if not predicate or not arguments[0] or not arguments[1]:
        raise line.error("an empty name", ATOM_FORM)
    return NamedAtom(predicate, arguments[0], arguments[1])


def unquote(name: str) -> str:
    """A name without the single quotes around it, if it has them."""
    if len(name) >= 2 and name[0] == name[-1] == "'":
        return name[1:-1].replace("''", "'")
    return name


def split_commas(text: str) -> list[str]:
    """``text`` cut at the commas that stand outside parentheses and quotes.

    A quote opens only where a name begins, so that an apostrophe within a plain name is just a letter.
    """
    parts: list[str] = []
    depth = start = 0
    is_quoted = False
    previous = ","
    for position, character in enumerate(text):
        if is_quoted:
            # A doubled quote closes and opens again at once, which cuts nothing.
            is_quoted = character != "'"
        elif character == "'" and previous in "(,'":
            is_quoted = True
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
        if not character.isspace():
            previous = character
    parts.append(text[start:])
    return parts
