"""A rule by its names, whatever the format of its file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.text import NUMBER, Line
from proofrank.core.formats.warnings import WarningCollector

_NUMBER = re.compile(NUMBER)


@dataclass(frozen=True)
class NamedRule:
    """A rule by its names, as it stands in a file.

    Attributes:
        name: its name in the file, or ``rule<line>``.
        weight: its weight or confidence in the file; 1 where it has none.
        head: what follows.
        body: what it follows from; empty for a rule without a body.
        line: where it stands.
        variables: the names that are variables, in formats that say so; None where every argument is one that is no
            constant of the graph.
        quoted: the arguments that stand between quotes, which are constants.
    """

    name: str
    weight: float
    head: NamedAtom
    body: tuple[NamedAtom, ...]
    line: Line
    variables: frozenset[str] | None = None
    quoted: frozenset[str] = frozenset()

    def __str__(self) -> str:
        def shown(atom: NamedAtom) -> str:
            if self.variables is None:
                return str(atom)
            first, second = (f"?{name}" if name in self.variables else name for name in atom[1:])
            return str(NamedAtom(atom.predicate, first, second))

        return f"{shown(self.head)} :- {', '.join(map(shown, self.body))}"

    @property
    def atoms(self) -> tuple[NamedAtom, ...]:
        """Head and body."""
        return (self.head, *self.body)


@dataclass
class RuleReading:
    """What a reader needs beside the lines, and where it puts what it finds.

    Attributes:
        known_predicates: the predicates of the triples.
        warnings: of the file.
        notes: what was taken in a way that a reader of the log should know.
    """

    known_predicates: frozenset[str]
    warnings: WarningCollector = field(default_factory=WarningCollector)
    notes: list[str] = field(default_factory=list)


def read_number(text: str, line: Line, what: str, expected: str) -> float:
    """The number that ``text`` writes. Raises DatasetError where it is none, or not finite."""
    text = text.strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise line.error(f"{what} {text!r} is no number", expected)
    return value


def is_number(text: str) -> bool:
    """Whether ``text`` writes a number."""
    return _NUMBER.fullmatch(text.strip()) is not None
