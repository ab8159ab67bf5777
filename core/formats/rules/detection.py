"""Tells the format of a rule file by the form of its lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from proofrank.core.formats.quoting import mask
from proofrank.core.formats.text import NUMBER, Line

RULE_FORMATS = {
    "proofrank": "name:weight:body -> head",
    "prolog": "head :- body.",
    "problog": "weight::head :- body.",
    "anyburl": "predictions<TAB>correct<TAB>confidence<TAB>head <= body",
    "amie": "?a  relation  ?b   => ?a  relation  ?b<TAB>numbers",
    "neural-lp": "weight (normalised)<TAB>head(B, A) <-- body(B, A)",
    "ncrl": "confidence (confidence)<TAB>relation <-- relation, relation",
    "rnnlogic": "ids of relations, that of the head first, and perhaps a weight",
}
"""Format -> the form of a line."""

RULE_FORMS = (
    "'name:weight:body -> head' or 'head :- body.', or rules of AnyBURL, AMIE, Neural LP, NCRL or RNNLogic"
)

_NUM_LINES = 1000
"""Number of lines by which the format is told."""

_NUM_CHARACTERS = 10_000
"""Number of characters of a line that are looked at."""

_NAME_AND_WEIGHT = re.compile(rf"[^:(]*:\s*{NUMBER}\s*:")
_WEIGHT = re.compile(rf"{NUMBER}\s*::")
_IDS = re.compile(rf"\d+(?:\s+\d+)+(?:\s+{NUMBER})?")


def detect_rule_format(lines: Iterable[Line]) -> str | None:
    """The format that most of the first lines have; among equals, the one that comes first. None where none has one.

    A file of Prolog clauses with a weight anywhere is ProbLog.
    """
    votes: dict[str, int] = {}
    for line, _ in zip(lines, range(_NUM_LINES), strict=False):
        form = format_of_line(line.text[:_NUM_CHARACTERS])
        if form is not None:
            votes[form] = votes.get(form, 0) + 1
    if "problog" in votes and "prolog" in votes:
        votes["problog"] += votes.pop("prolog")
    return max(votes, key=votes.__getitem__) if votes else None


def format_of_line(text: str) -> str | None:
    """The format whose form a line has, which is no comment; None where it has none, as a part of a clause."""
    outer = mask(text)
    if "<--" in outer:
        return "neural-lp" if "(" in text.partition("<--")[2] else "ncrl"
    if "<=" in outer:
        return "anyburl"
    if "=>" in outer and "?" in text:
        return "amie"
    if "->" in outer and (_NAME_AND_WEIGHT.match(text) or ":-" not in outer):
        return "proofrank"
    if _WEIGHT.match(text):
        return "problog"
    if ":-" in outer:
        return "prolog"
    return "rnnlogic" if _IDS.fullmatch(text.strip()) else None
