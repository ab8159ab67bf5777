"""Errors that a user can cause, one class per layer, each with a message written for that user."""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_MOST_CHARACTERS = 1500
_LONGEST_NAME = 1024

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 200


class ProofrankError(Exception):
    """Base of every error that bad input can cause; its text is fit to be shown to the user.

    A text that is long, since it repeats what it found, loses its middle: the place stands before that, and what was
    expected behind it.
    """

    def __init__(self, message: str) -> None:
        if len(message) > _MOST_CHARACTERS:
            message = f"{message[: _MOST_CHARACTERS // 2]} … {message[-_MOST_CHARACTERS // 2 :]}"
        super().__init__(message)


class DatasetError(ProofrankError):
    """A dataset folder or one of its files cannot be used."""


class UnknownNameError(ProofrankError):
    """A constant or predicate is not in the vocabulary.

    Attributes:
        kind: ``"constant"`` or ``"predicate"``.
        name: the name that was asked for.
        nearest: the nearest known names, best first, at most three.
    """

    def __init__(self, kind: str, name: str, nearest: list[str]) -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(nearest, name)}")


class PolicyError(ProofrankError):
    """A checkpoint cannot be used, or does not fit the graph.

    Attributes:
        file: name of the checkpoint's file that is wrong; None where it is no single one.
    """

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


class EmbeddingError(ProofrankError):
    """An embedding cannot be read, or does not score what it is asked for."""


class EvaluationError(ProofrankError):
    """A candidate cannot be evaluated exactly."""


class MemoryShortError(EvaluationError):
    """The device has no memory for an evaluator."""


class RankingError(ProofrankError):
    """Scores or options from which no rank can be made."""


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: ``1 triple``, ``2 triples``.

    Args:
        number: how many.
        one: the noun for one.
        several: the noun for several, where that is not ``one`` with an ``s``.
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def first_few(names: Sequence[str], most: int, show: Callable[[str], str]) -> str:
    """The first ``most`` of ``names``, each as ``show`` gives it, and how many more there are: ``a, b and 4 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(show, names[:most])) + more


def shown(value: Any) -> str:
    """``value`` as a message repeats it: short, however long and deeply nested it is."""
    return _SHOWN.repr(value)


def nearest_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names nearest to ``name``, best first, at most ``most``; none where nothing is near.

    Case and Unicode form count only between names that are equally near without them.
    """
    if len(name) > _LONGEST_NAME:
        return []  # to compare it would take longer than anybody waits
    by_folded: dict[str, list[str]] = {}
    for candidate in known:
        by_folded.setdefault(_folded(candidate), []).append(candidate)
    close = difflib.get_close_matches(_folded(name), list(by_folded), n=most, cutoff=0.6)

    def distance(candidate: str) -> tuple[float, str]:
        return (-difflib.SequenceMatcher(None, candidate, name).ratio(), candidate)

    nearest = [candidate for folded in close for candidate in sorted(by_folded[folded], key=distance)]
    return nearest[:most]


def _folded(name: str) -> str:
    """The name without what is easily written otherwise."""
    return unicodedata.normalize("NFC", name).casefold()


def did_you_mean(nearest: list[str], name: str = "") -> str:
    """The end of a message that offers ``nearest`` in place of ``name``, or nothing.

    Names that look the same as ``name``, for they differ in Unicode form alone, are written in plain letters.
    """
    if not nearest:
        return ""
    shown = ", ".join(_offered(offer, name) for offer in nearest)
    return f"; did you mean {shown}?"


def _offered(offer: str, name: str) -> str:
    if offer != name and unicodedata.normalize("NFC", offer) == unicodedata.normalize("NFC", name):
        return f"{offer!r} (another Unicode form, {offer!a})"
    return repr(offer)
