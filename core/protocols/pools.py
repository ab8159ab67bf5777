"""Candidates from other pools than the domains of the replaced constant: all entities, or those of the relation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from proofrank.core.choices import Side
from proofrank.core.errors import DatasetError, RankingError
from proofrank.core.formats.text import read_lines
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocols.names_in_files import columns, constants_of, content_of, predicate_of, side_of
from proofrank.core.ranking import Corruptor

Pools = Mapping[tuple[int, Side], np.ndarray]
"""(predicate, side) -> constants that may stand there, ascending ``[n]`` int64."""

_EXPECTED = "'relation<TAB>side<TAB>constant<TAB>constant …'"


@dataclass(frozen=True)
class AllEntities(Corruptor):
    """Draws from all constants, whatever domains the dataset has."""

    def replacements(self, query: Triple, side: Side) -> np.ndarray:
        """All constants."""
        return self.all_constants


@dataclass(frozen=True)
class CandidatesByRelation(Corruptor):
    """Draws from the constants that may stand on a side of a relation.

    Attributes:
        pools: the constants of each relation and side.
        source: where they come from, for errors.
        sha256: hash of the file that they come from; None for the facts.
    """

    pools: Pools = field(default_factory=dict)
    source: str = "the facts"
    sha256: str | None = None

    def replacements(self, query: Triple, side: Side) -> np.ndarray:
        """The constants of the query's relation on ``side``.

        Raises:
            RankingError: there are none, so that any rank would be the first.
        """
        pool = self.pools.get((query.predicate, side))
        if pool is None:
            relation = self.dataset.vocabulary.predicate_name(query.predicate)
            raise RankingError(
                f"no {side} of relation {relation!r} is in {self.source}, so it has no candidates; expected a file "
                "of candidates with a line for each relation and side"
            )
        return pool


def read_candidates(path: Path, dataset: Dataset) -> tuple[dict[tuple[int, Side], np.ndarray], str]:
    """Reads candidates by relation: a line for each relation and side, ``relation<TAB>side<TAB>constant …``.

    Returns:
        The constants, and the SHA-256 of the file's text.

    Raises:
        DatasetError: a line is not of this form, a relation and side come twice, or a name is unknown; with the line.
    """
    pools: dict[tuple[int, Side], np.ndarray] = {}
    for line in read_lines(path):
        relation, side_name, *names = columns(line, 3, _EXPECTED)
        key = (predicate_of(relation, dataset.vocabulary, line), side_of(side_name, line))
        if key in pools:
            raise line.error(
                f"relation {relation!r} and side {side_name} for the second time", "each on one line"
            )
        pools[key] = np.unique(constants_of(names, dataset.vocabulary, line))
    if not pools:
        raise DatasetError(f"{path}: no candidates in this file; expected {_EXPECTED} a line")
    return pools, content_of(path)
