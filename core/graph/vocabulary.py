"""Names to indices and back.

Index 0 is padding. Constants are 1..C in sorted order of their names, run-time variables follow from C+1;
predicates are 1..P in sorted order, then ``True``, ``False`` and ``Endf``. The order is a function of the
names alone, so that the same graph has the same indices everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from proofrank.core.errors import DatasetError, UnknownNameError, nearest_names

PADDING = 0
TERMINAL_PREDICATES = ("True", "False", "Endf")


@dataclass(frozen=True)
class Vocabulary:
    """The names of a graph.

    Attributes:
        predicates: names of the predicates without the three terminal ones; the first has index 1.
        constants: names of the constants; the first has index 1.
    """

    predicates: tuple[str, ...]
    constants: tuple[str, ...]

    @classmethod
    def from_names(cls, predicates: Iterable[str], constants: Iterable[str]) -> Vocabulary:
        """The vocabulary of these names, sorted.

        Raises:
            DatasetError: a predicate bears the name of a terminal state.
        """
        names = sorted(set(predicates))
        for terminal in TERMINAL_PREDICATES:
            if terminal in names:
                raise DatasetError(f"predicate name {terminal!r} is reserved for a terminal state")
        return cls(tuple(names), tuple(sorted(set(constants))))

    @cached_property
    def _predicate_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.predicates, start=1)}

    @cached_property
    def _constant_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.constants, start=1)}

    @property
    def num_predicates(self) -> int:
        """Number of predicates, the three terminal ones not counted."""
        return len(self.predicates)

    @property
    def num_constants(self) -> int:
        """Number of constants."""
        return len(self.constants)

    @property
    def true_index(self) -> int:
        """Predicate index of ``True``; ``False`` and ``Endf`` follow it."""
        return self.num_predicates + 1

    @property
    def false_index(self) -> int:
        """Predicate index of ``False``."""
        return self.num_predicates + 2

    @property
    def endf_index(self) -> int:
        """Predicate index of ``Endf``, the state in which the policy gives up."""
        return self.num_predicates + 3

    @property
    def first_variable_index(self) -> int:
        """Index of the first run-time variable; every argument from here on is a variable."""
        return self.num_constants + 1

    def predicate_index(self, name: str) -> int:
        """Index of a predicate. Raises UnknownNameError with the nearest names."""
        index = self._predicate_index.get(name)
        if index is None:
            raise UnknownNameError("predicate", name, nearest_names(name, self.predicates))
        return index

    def constant_index(self, name: str) -> int:
        """Index of a constant. Raises UnknownNameError with the nearest names."""
        index = self._constant_index.get(name)
        if index is None:
            raise UnknownNameError("constant", name, nearest_names(name, self.constants))
        return index

    def has_constant(self, name: str) -> bool:
        """Whether ``name`` is a constant of this graph."""
        return name in self._constant_index

    def has_predicate(self, name: str) -> bool:
        """Whether ``name`` is a predicate of this graph."""
        return name in self._predicate_index

    def predicate_name(self, index: int) -> str:
        """Name of a predicate index, the terminal ones included."""
        if index <= self.num_predicates:
            return self.predicates[index - 1]
        return TERMINAL_PREDICATES[index - self.num_predicates - 1]

    def argument_name(self, index: int) -> str:
        """Name of a constant, or ``Var_<index>`` of a run-time variable."""
        return self.constants[index - 1] if index <= self.num_constants else f"Var_{index}"
