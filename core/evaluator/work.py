"""Counts of work, which are the same on a busy machine as on an idle one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """Counters of what was done since the evaluator was made.

    Attributes:
        ticks: ticks.
        rows_expanded: resolvents built.
        facts_checked: facts looked at for immediate proofs, beyond those.
        states_scored: states that the network was applied to.
        states_padded: rows that the network was applied to, padding included.
        lanes_busy: sum over the ticks of the lanes with a candidate.
        lanes: sum over the ticks of all lanes.
    """

    ticks: int = 0
    rows_expanded: int = 0
    facts_checked: int = 0
    states_scored: int = 0
    states_padded: int = 0
    lanes_busy: int = 0
    lanes: int = 0

    @property
    def padding_waste(self) -> float:
        """Share of the network's rows that were padding."""
        return 1 - self.states_scored / self.states_padded if self.states_padded else 0.0

    def __add__(self, other: Work) -> Work:
        """The sum of both."""
        names = [field.name for field in dataclasses.fields(self)]
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __sub__(self, earlier: Work) -> Work:
        """Work since ``earlier``, of the same evaluator."""
        names = [field.name for field in dataclasses.fields(self)]
        return Work(**{name: getattr(self, name) - getattr(earlier, name) for name in names})

    @classmethod
    def total(cls, counts: Iterable[Mapping[str, int]]) -> Work:
        """The sum of counters by name."""
        return sum((cls(**count) for count in counts), start=cls())
