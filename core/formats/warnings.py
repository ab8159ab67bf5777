"""What is probably wrong in a dataset's files: kinds of warnings, their number, and their first places."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MOST_PLACES = 3
"""Number of places that a warning shows; the others are counted."""


class Place(NamedTuple):
    """Where something is probably wrong.

    Attributes:
        path: the file.
        line: number of the line from 1; None where it is no single line.
        text: what stands there.
    """

    path: str
    line: int | None
    text: str


@dataclass(frozen=True)
class DatasetWarning:
    """Something in a dataset's files that can be read, and is probably wrong.

    Attributes:
        kind: one of ``KINDS``.
        count: how often it occurs.
        places: the first of them, at most ``MOST_PLACES``.
        message: all of this for people.
    """

    kind: str
    count: int
    places: tuple[Place, ...]
    message: str

    def __str__(self) -> str:
        return self.message

    def without_folder(self) -> DatasetWarning:
        """The warning with the names of files in place of their paths, for those who have no use for the paths."""
        message = self.message
        for path in {place.path for place in self.places}:
            message = message.replace(path, Path(path).name)
        places = tuple(place._replace(path=Path(place.path).name) for place in self.places)
        return DatasetWarning(self.kind, self.count, places, message)

    def to_dict(self) -> dict[str, Any]:
        """The warning as JSON."""
        return {
            "kind": self.kind,
            "count": self.count,
            "places": [place._asdict() for place in self.places],
            "message": self.message,
        }


KINDS = {
    "attached-full-stop": ("name ends", "names end", "with a full stop, as all in this file do; it is kept"),
    "constant-like-variable": ("constant", "constants", "that looks like a variable; between quotes it would not"),
    "directive": ("directive", "directives", "left out, since only clauses are read"),
    "domain-constant": ("constant", "constants", "left out, since no triple has it"),
    "duplicate-rule": ("duplicate rule", "duplicate rules", "dropped"),
    "duplicate-triple": ("duplicate triple", "duplicate triples", "dropped"),
    "full-stop": ("line ends", "lines end", "with a full stop behind white space, which is no part of the name"),
    "header-line": ("header line", "header lines", "left out"),
    "like-a-comment": ("line", "lines", "read as a triple because of its tabs, which begins like a comment"),
    "like-a-header": ("first line has", "first lines have", "names that no other triple has: perhaps a header"),
    "missing-weight": ("rule", "rules", "without a weight in a file with weights: its last number is a relation"),
    "odd-character": ("name has", "names have", "a control character, or one that stands for a lost letter"),
    "open-quote": ("name begins", "names begin", "with a quote that is not closed, and is kept"),
    "overlap": ("triple is", "triples are", "in {about} too"),
    "predicate-without-triples": ("predicate", "predicates", "with rules but no triple"),
    "quoted-column": ("line has", "lines have", "a name between quotes, which are kept as a part of it"),
    "repeated-rule": ("rule repeats", "rules repeat", "an earlier one with another weight; both are kept"),
    "rule-without-body": ("rule without a body", "rules without a body", "dropped"),
    "similar-names": ("group of {about}", "groups of {about}", "that differ only in how they are written"),
    "singleton": ("name occurs", "names occur", "once in a rule, and so is a variable without a partner"),
    "trailing-tab": ("line ends", "lines end", "with a tab, which is left out"),
    "unknown-constant": ("rule", "rules", "dropped for a constant that no triple has"),
    "variable-like-constant": ("name", "names", "read as a variable, which Prolog would take for a constant"),
    "variable-named-like-constant": ("variable", "variables", "of rules with the name of a constant"),
    "weighted-fact": ("fact", "facts", "whose probability is left out, so that it is certain"),
    "without-domain": ("constant has", "constants have", "no domain, so that all constants may replace it"),
}  # fmt: skip
"""Kind of warning -> its words for one and for several, and what is done about it or what is wrong."""


@dataclass
class WarningCollector:
    """Gathers warnings while files are read, one for each kind, file and subject."""

    _found: dict[tuple[str, Path, str], tuple[int, list[Place]]] = field(default_factory=dict)

    def add(self, kind: str, path: Path, line: int | None, text: str, about: str = "") -> None:
        """Counts one more; ``text`` says what stands at the place, ``about`` what the kind is about."""
        count, places = self._found.get((kind, path, about), (0, []))
        if count < MOST_PLACES:
            places.append(Place(str(path), line, text))
        self._found[kind, path, about] = (count + 1, places)

    def is_shown(self, kind: str, path: Path, about: str = "") -> bool:
        """Whether a further one would be shown, so that it is worth the while to say much about it."""
        return self._found.get((kind, path, about), (0, []))[0] < MOST_PLACES

    @property
    def warnings(self) -> tuple[DatasetWarning, ...]:
        """What has been gathered, in the order of the first of each."""
        return tuple(
            DatasetWarning(kind, count, tuple(places), _message(kind, path, about, count, places))
            for (kind, path, about), (count, places) in self._found.items()
        )


def _message(kind: str, path: Path, about: str, count: int, places: list[Place]) -> str:
    one, several, done = (words.format(about=about) for words in KINDS[kind])
    shown = "; ".join(
        f"{place.text} (line {place.line})" if place.line is not None else place.text for place in places
    )
    more = f"; and {count - len(places)} more" if count > len(places) else ""
    return f"{path}: {count} {one if count == 1 else several} {done}: {shown}{more}"
