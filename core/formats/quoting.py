"""Quotes and parentheses in rules and facts: what stands inside them, and what an operator may separate.

A quote opens only where a name begins and only if it is closed where a name ends, so that an apostrophe within a plain
name is just a letter.
"""

from __future__ import annotations

import re

_QUOTED = {
    quote: re.compile(rf"{quote}(?:[^{quote}\\]|{quote}{quote}|\\.)*{quote}(?=\s*(?:[,()]|$))", re.DOTALL)
    for quote in ("'", '"')
}
_ESCAPED = re.compile(r"\\([\\'\"])")

_BEFORE_AN_ARGUMENT = frozenset("(,")
_BEFORE_A_PREDICATE = frozenset("(,:->=.;")

HIDDEN = "\0"
"""Stands in a masked text for each character inside quotes or parentheses."""


def mask(text: str) -> str:
    """``text`` with ``HIDDEN`` for every character between quotes or within parentheses.

    The result has the length of ``text``. Quotes are hidden too; the outermost parentheses stay.
    """
    if "(" not in text and "'" not in text and '"' not in text:
        return text
    masked: list[str] = []
    depth, position, previous = 0, 0, ","
    while position < len(text):
        character = text[position]
        if character in _QUOTED and previous in (_BEFORE_AN_ARGUMENT if depth else _BEFORE_A_PREDICATE):
            quoted = _QUOTED[character].match(text, position)
            if quoted is not None:
                masked.append(HIDDEN * len(quoted[0]))
                position, previous = quoted.end(), character
                continue
        if character == ")":
            depth = max(0, depth - 1)
        masked.append(HIDDEN if depth else character)
        if character == "(":
            depth += 1
        if not character.isspace():
            previous = character
        position += 1
    return "".join(masked)


def quoted_at(text: str, position: int) -> int:
    """The end of the quoted name that begins at ``position``; ``position`` where none does."""
    if position >= len(text) or text[position] not in _QUOTED:
        return position
    quoted = _QUOTED[text[position]].match(text, position)
    return quoted.end() if quoted is not None else position


def is_quoted(name: str) -> bool:
    """Whether a name stands between quotes."""
    return len(name) >= 2 and quoted_at(name, 0) == len(name)


def unquote(name: str) -> str:
    """A name without the quotes around it, if it has them; inside, a doubled quote is one, and so is ``\\'``."""
    if not is_quoted(name):
        return name
    quote = name[0]
    parts = _ESCAPED.split(name[1:-1])
    # The odd parts are the escaped characters themselves.
    return "".join(part if index % 2 else part.replace(quote * 2, quote) for index, part in enumerate(parts))


def split_outer(text: str, separator: str = ",") -> list[str]:
    """``text`` cut at the separators that stand outside parentheses and quotes."""
    masked = mask(text)
    parts: list[str] = []
    start = 0
    while (found := masked.find(separator, start)) >= 0:
        parts.append(text[start:found])
        start = found + len(separator)
    parts.append(text[start:])
    return parts
