"""Negatives and ties as the public DeepProofLog code draws them (as of 2026-01-30, on a CPU).

Queries are taken 128 at a time. For these, and for the head before the tail, ``number`` constants are drawn with
replacement, uniformly from the domain of the replaced constant, or from all where the dataset has no domains. Known
triples are then left out, and of equal ones the first is kept, so that most queries have fewer than ``number``. Ties
are broken by a key for each candidate, uniform in [0, 1): of equal scores the larger key comes first.

That code draws from torch's global generator, whose state at an evaluation depends on all that ran before. Here it
starts from ``seed``, as if ``torch.manual_seed(seed)`` stood before its ``evaluate``. Its generator of keys starts from
0, as there by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from proofrank.core.choices import Side
from proofrank.core.errors import RankingError
from proofrank.core.graph import Triple
from proofrank.core.ranking import Corruptor, replaced_constant

QUERIES_AT_ONCE = 128
"""Number of queries that are drawn for together: the number of environments in that code's default configuration."""

_MOST_DRAWS = 2**26
"""Number of constants that are drawn for one evaluation at most: with their keys, 0.8 GB."""


@dataclass(frozen=True)
class DeepProofLogDraws(Corruptor):
    """Draws for all queries of an evaluation; what a query gets depends on its place among them.

    Attributes:
        triples: queries in order.
        sides: sides on which each of them is ranked, in order.
        queries_at_once: number of queries that are drawn for together.
        tie_seed: seed of the keys.
    """

    triples: Sequence[Triple] = ()
    sides: tuple[Side, ...] = ("head", "tail")
    queries_at_once: int = QUERIES_AT_ONCE
    tie_seed: int = 0

    def __post_init__(self) -> None:
        """Raises RankingError if the number of corruptions is missing, or too many constants would be drawn."""
        super().__post_init__()
        if self.number is None:
            raise RankingError(
                "the protocol of DeepProofLog draws a number of corruptions; expected one, not 'all'"
            )
        if len(self.triples) * len(self.sides) * (1 + self.number) > _MOST_DRAWS:
            raise RankingError(
                f"{self.number} corruptions of {len(self.triples)} triples are more than {_MOST_DRAWS} draws; "
                "expected fewer"
            )

    def drawn(self, index: int, query: Triple, side: Side) -> tuple[np.ndarray, np.ndarray | None]:
        """The new constants of the query at ``index`` on ``side``, ``[n]`` int64, in the order in which they were
        drawn, and the keys of the positive and of these, ``[1 + n]`` float32.

        Raises:
            RankingError: this query was not among those that were drawn for.
        """
        if not (0 <= index < len(self.triples)) or self.triples[index] != query or side not in self.sides:
            raise RankingError(
                "the protocol of DeepProofLog ranks all queries on the same sides, in one order"
            )
        constants, keys = (drawn[index, self.sides.index(side)] for drawn in self._drawn)
        constants = self._kept(query, side, constants)
        return constants, keys[: 1 + len(constants)]

    def count_at(self, index: int, query: Triple, side: Side) -> int:
        """Counts the corruptions of the query at ``index`` on ``side``."""
        return len(self.drawn(index, query, side)[0])

    def _kept(self, query: Triple, side: Side, constants: np.ndarray) -> np.ndarray:
        """Those of ``constants`` that make a corruption, each once, in order."""
        constants = self.among(query, side, constants)
        _, first = np.unique(constants, return_index=True)
        return constants[np.sort(first)]

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Constants ``[Q, S, N]`` int64 and keys ``[Q, S, 1 + N]`` float32 of all queries."""
        assert self.number is not None
        negatives = torch.Generator().manual_seed(self.seed)
        ties = torch.Generator().manual_seed(self.tie_seed)
        constants = np.empty((len(self.triples), len(self.sides), self.number), dtype=np.int64)
        keys = np.empty((len(self.triples), len(self.sides), 1 + self.number), dtype=np.float32)
        for start in range(0, len(self.triples), self.queries_at_once):
            chunk = slice(start, start + self.queries_at_once)
            triples = self.triples[chunk]
            for place, side in enumerate(self.sides):
                own = np.array([replaced_constant(triple, side) for triple in triples], dtype=np.int64)
                constants[chunk, place] = self._draw(own, negatives)
                shape = (len(triples), 1 + self.number)
                keys[chunk, place] = torch.rand(shape, generator=ties).numpy()
        return constants, keys

    def _draw(self, own: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Draws other constants than ``own``, ``[B]`` int64: ``[B, N]`` int64."""
        assert self.number is not None
        shape = (len(own), self.number)
        if not self.dataset.domains:
            most = self.dataset.vocabulary.num_constants
            if most < 2:
                raise RankingError("a dataset with one constant has no corruptions")
            drawn = torch.randint(1, most, shape, generator=generator).numpy()
            return drawn + (drawn >= own[:, None])
        domains = [self._domain(constant) for constant in own.tolist()]
        places = np.array(
            [np.searchsorted(domain, constant) for domain, constant in zip(domains, own, strict=True)]
        )
        others = torch.tensor([[len(domain) - 1.0] for domain in domains])
        # In single precision, as there; one call for all queries, so that the stream is the same.
        uniform = torch.rand(shape, generator=generator)
        drawn = torch.floor(uniform * others).long().numpy()
        drawn = drawn + (drawn >= places[:, None])
        rows = [
            # The only one of its domain stays itself, and is then left out.
            domain[np.minimum(row, len(domain) - 1)]
            for domain, row in zip(domains, drawn, strict=True)
        ]
        return np.stack(rows)

    def _domain(self, constant: int) -> np.ndarray:
        """The domain of a constant, ascending ``[n]`` int64; of several, the last by name, as there."""
        domain = self._last_domains.get(constant)
        if domain is None:
            name = self.dataset.vocabulary.argument_name(constant)
            raise RankingError(
                f"constant {name!r} is in no domain, and the protocol of DeepProofLog draws from domains; "
                "expected every constant in one"
            )
        return domain

    @cached_property
    def _last_domains(self) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for name in sorted(self.dataset.domains):
            domain = np.asarray(self.dataset.domains[name], dtype=np.int64)
            found.update(dict.fromkeys(domain.tolist(), domain))
        return found
