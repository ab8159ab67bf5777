"""Finds the facts that match a goal: by (predicate, first), by (predicate, second), by predicate, by membership.

Facts are kept in ascending order of (predicate, first, second) index, which is the order of the actions that
they give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

IndexedFact = tuple[int, int, int]

_NONE: tuple[IndexedFact, ...] = ()


class FactIndex:
    """An index of ground atoms in plain dictionaries, for the reference and for look-ups by people."""

    def __init__(self, facts: Iterable[IndexedFact]) -> None:
        ordered = sorted(set(facts))
        self._facts = frozenset(ordered)
        self._by_first: dict[tuple[int, int], list[IndexedFact]] = {}
        self._by_second: dict[tuple[int, int], list[IndexedFact]] = {}
        self._by_predicate: dict[int, list[IndexedFact]] = {}
        for fact in ordered:
            predicate, first, second = fact
            self._by_first.setdefault((predicate, first), []).append(fact)
            self._by_second.setdefault((predicate, second), []).append(fact)
            self._by_predicate.setdefault(predicate, []).append(fact)

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, atom: object) -> bool:
        return atom in self._facts

    def with_first(self, predicate: int, first: int) -> Sequence[IndexedFact]:
        """The facts ``predicate(first, ·)`` in ascending order."""
        return self._by_first.get((predicate, first), _NONE)

    def with_second(self, predicate: int, second: int) -> Sequence[IndexedFact]:
        """The facts ``predicate(·, second)`` in ascending order."""
        return self._by_second.get((predicate, second), _NONE)

    def with_predicate(self, predicate: int) -> Sequence[IndexedFact]:
        """The facts of ``predicate`` in ascending order."""
        return self._by_predicate.get(predicate, _NONE)
