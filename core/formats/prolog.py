"""Clauses of a Prolog file: comments are left out, a clause may go over several lines, and ends with a full stop.

A full stop may be missing at the end of a line at which a clause can end, for many programs write rules and facts so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from proofrank.core.formats.atoms import PLAIN_ATOM
from proofrank.core.formats.quoting import quoted_at
from proofrank.core.formats.text import Line

_BEFORE_A_NAME = frozenset("(,:->=.;")
_CONTINUES = (":-", ",", ";", "->")


class Clause(NamedTuple):
    """A clause.

    Attributes:
        text: on one line, without comments and full stop.
        line: where it begins, for errors; of a clause over several lines, with all of its text.
    """

    text: str
    line: Line


def read_clauses(lines: Iterable[Line]) -> Iterator[Clause]:
    """The clauses in order.

    Args:
        lines: of the file, comments included.
    """
    scanner = _Scanner()
    for line in lines:
        # For speed: nearly every line of a file of facts is such a one.
        if scanner.is_empty and line.text.endswith(").") and PLAIN_ATOM.fullmatch(line.text[:-1]):
            yield Clause(line.text[:-1], line)
            continue
        if not scanner.is_empty and scanner.may_end and not line.text.startswith((*_CONTINUES, "%")):
            yield from scanner.end()
        yield from scanner.read(line)
    yield from scanner.end()


class _Scanner:
    """Reads line by line what may be parts of clauses."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._begin: Line | None = None
        self._last: Line | None = None
        self._depth = 0
        self._is_in_comment = False
        self._previous = ","

    @property
    def is_empty(self) -> bool:
        """Whether no clause has begun."""
        return self._begin is None and not self._is_in_comment

    @property
    def may_end(self) -> bool:
        """Whether the clause may end with the last line although no full stop stands there."""
        return self._depth == 0 and self._previous == ")" and not self._is_in_comment

    def end(self) -> Iterator[Clause]:
        """The clause that has begun, if one has."""
        if self._begin is not None:
            text, begin = "".join(self._parts).strip(), self._begin
            if text:
                is_long = begin is not self._last
                yield Clause(text, Line(begin.path, begin.number, text) if is_long else begin)
        self._parts, self._begin, self._depth, self._previous = [], None, 0, ","

    def read(self, line: Line) -> Iterator[Clause]:
        """Takes in a line; the clauses that end in it."""
        text, position = line.text, 0
        if self._parts:
            self._parts.append(" ")
        while position < len(text):
            if self._is_in_comment:
                closing = text.find("*/", position)
                if closing < 0:
                    return
                self._is_in_comment, position = False, closing + 2
                continue
            character = text[position]
            if self._begins_comment(text, position):
                return
            if self._depth == 0 and text.startswith("/*", position):
                self._is_in_comment, position = True, position + 2
                continue
            if self._begin is None:
                if character.isspace():
                    position += 1
                    continue
                self._begin = line
            self._last = line
            quoted = quoted_at(text, position) if self._previous in _BEFORE_A_NAME else position
            if quoted > position:
                self._parts.append(text[position:quoted])
                self._previous, position = character, quoted
                continue
            if character == "." and self._depth == 0 and _ends_clause(text, position + 1):
                yield from self.end()
                position += 1
                continue
            self._depth = max(0, self._depth + (character == "(") - (character == ")"))
            self._parts.append(character)
            if not character.isspace():
                self._previous = character
            position += 1

    def _begins_comment(self, text: str, position: int) -> bool:
        if text[position] != "%":
            return False
        before = text[position - 1] if position else " "
        if self._depth == 0:
            return before.isspace() or before in ".,)"
        # In an atom, a name may begin with the sign; then the atom goes on.
        return (before.isspace() or before == ",") and ")" not in text[position:]


def _ends_clause(text: str, position: int) -> bool:
    return position == len(text) or text[position].isspace() or text[position] == "%"
