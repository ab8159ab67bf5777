"""Finds what is probably wrong across the triple files: triples of two splits, names that differ by little, headers."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence

from proofrank.core.formats.triples import COLUMNS, TripleFile
from proofrank.core.formats.warnings import WarningCollector

_BLANKS = re.compile(r"[ _]+")


def warn_of_overlaps(
    splits: Mapping[str, TripleFile], facts: TripleFile | None, warnings: WarningCollector
) -> None:
    """Warns of triples of valid or test that are facts as well, and of test triples that are in valid.

    Triples of ``facts.txt`` that are in train are no news.
    """
    pairs = [("valid", splits["train"]), ("test", splits["train"]), ("test", splits["valid"])]
    if facts is not None:
        pairs += [("valid", facts), ("test", facts)]
    for split, other in pairs:
        file = splits[split]
        line_of = dict(zip(other.triples, other.lines, strict=True))
        for triple, line in zip(file.triples, file.lines, strict=True):
            if triple in line_of:
                text = f"{triple}, as in line {line_of[triple]} of {other.path.name}"
                warnings.add("overlap", file.path, line, text, about=other.path.name)


def warn_of_similar_names(files: Sequence[TripleFile], warnings: WarningCollector) -> None:
    """Warns of constants and of relations whose names differ only in how they are written.

    That is in case, Unicode form, blanks and underscores, invisible characters, percent-encoding, or a full stop at the
    end.
    """
    triples = [triple for file in files for triple in file.triples]
    for about, names in (
        ("constants", {name for triple in triples for name in triple[1:]}),
        ("relations", {triple.predicate for triple in triples}),
    ):
        for group in _similar(names):
            path, line = files[0].path.parent, None
            if warnings.is_shown("similar-names", path, about):
                # Plain letters where two names would look the same.
                is_same = len({_visible(name) for name in group}) < len(group)
                shown = [ascii(name) if is_same else repr(name) for name in group]
                text = " and ".join(
                    f"{name} ({_first_place(actual, files)})"
                    for name, actual in zip(shown, group, strict=True)
                )
            else:
                text = ""
            warnings.add("similar-names", path, line, text, about=about)


_FEWEST_OTHERS = 4
"""Minimum number of other triples by which a first line can be judged."""


def warn_of_lone_first_lines(files: Sequence[TripleFile], warnings: WarningCollector) -> None:
    """Warns of first lines of tab-separated files that may be headers in words unknown here, such as ``x y z``.

    Their relation and both constants are in no other triple of any file but as such a first line.
    """
    first_of = {file.path: file.triples[0] for file in files if file.format == COLUMNS and file.triples}
    firsts = frozenset(first_of.values())
    others = [triple for file in files for triple in file.triples if triple not in firsts]
    if len(others) < _FEWEST_OTHERS:
        return
    predicates = {triple.predicate for triple in others}
    lone = {triple for triple in firsts if triple.predicate not in predicates}
    if not lone:
        return
    constants = {name for triple in others for name in triple[1:]}
    for file in files:
        first = first_of.get(file.path)
        if first is not None and first in lone and constants.isdisjoint(first[1:]):
            shown = repr(f"{first.first} {first.predicate} {first.second}")
            warnings.add("like-a-header", file.path, file.lines[0], shown)


def _similar(names: Iterable[str]) -> list[list[str]]:
    """The groups of names that are equal when it does not count how they are written."""
    groups: dict[str, list[str]] = {}
    for name in names:
        key = _visible(urllib.parse.unquote(name) if "%" in name else name).casefold()
        key = _BLANKS.sub("_", key)
        groups.setdefault(key.rstrip("_.") or key or name, []).append(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _visible(name: str) -> str:
    """The name without invisible characters, with one kind of blank, in one Unicode form."""
    if name.isascii() and name.isprintable():
        return name
    characters = (
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFKC", name)
        if unicodedata.category(character) != "Cf"
    )
    return "".join(characters)


def _first_place(name: str, files: Iterable[TripleFile]) -> str:
    """File and line where a name comes first."""
    for file in files:
        for triple, line in zip(file.triples, file.lines, strict=True):
            if name in triple:
                return f"{file.path.name}:{line}"
    raise AssertionError(f"{name!r} is in none of the files")
