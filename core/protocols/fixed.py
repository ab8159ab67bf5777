"""Fixed negatives: the corruptions of each query and side stand in a file, as benchmarks such as OGB publish them."""

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
from proofrank.core.ranking import Corruptor, replaced_constant

_EXPECTED = "'head<TAB>relation<TAB>tail<TAB>side<TAB>negative<TAB>negative …'"


@dataclass(frozen=True)
class FixedNegatives(Corruptor):
    """The negatives of each query and side, in the order of the file; one that stands there twice counts twice.

    Attributes:
        negatives: (triple, side) -> new constants, ``[n]`` int64.
        path: where they come from, for errors.
        sha256: hash of the file's text.
    """

    negatives: Mapping[tuple[Triple, Side], np.ndarray] = field(default_factory=dict)
    path: Path = Path()
    sha256: str = ""

    def constants(self, query: Triple, side: Side) -> np.ndarray:
        """The negatives of ``query`` on ``side``, ``[n]`` int64.

        Raises:
            RankingError: the file has none.
        """
        found = self.negatives.get((query, side))
        if found is None:
            head, relation, tail = self.dataset.names(query)
            raise RankingError(
                f"{self.path}: no line for {relation}({head}, {tail}) on side {side}; expected one for each triple "
                "and side that is ranked"
            )
        return found

    def count(self, query: Triple, side: Side) -> int:
        """Counts the negatives of ``query`` on ``side``; raises as :meth:`constants`."""
        return len(self.constants(query, side))


def read_negatives(
    path: Path, dataset: Dataset, seed: int = 0, *, same_number: bool = False
) -> FixedNegatives:
    """Reads fixed negatives: a line for each triple and side, ``head<TAB>relation<TAB>tail<TAB>side<TAB>negative …``.

    The file may be compressed (``.gz``). Known triples among the negatives are kept, for the file is the protocol.

    Args:
        path: the file.
        dataset: knows the names.
        seed: seed of random ties.
        same_number: whether each line must have as many negatives as the first, as in OGB.

    Raises:
        DatasetError: a line is not of this form, a triple and side come twice, a name is unknown, the triple's own
            constant is among its negatives, or a line has another number of them; with the line.
    """
    negatives: dict[tuple[Triple, Side], np.ndarray] = {}
    number: int | None = None
    for line in read_lines(path):
        head, relation, tail, side_name, *names = columns(line, 5, _EXPECTED)
        side = side_of(side_name, line)
        first, second = constants_of((head, tail), dataset.vocabulary, line).tolist()
        triple = Triple(predicate_of(relation, dataset.vocabulary, line), first, second)
        if (triple, side) in negatives:
            raise line.error("a triple and side for the second time", "each on one line")
        constants = constants_of(names, dataset.vocabulary, line)
        if replaced_constant(triple, side) in constants:
            raise line.error(f"the triple's own {side} among its negatives", "other constants")
        if number is not None and same_number and len(constants) != number:
            raise line.error(f"{len(constants)} negatives", f"{number}, as on the lines before")
        number = len(constants)
        negatives[triple, side] = constants
    if not negatives:
        raise DatasetError(f"{path}: no negatives in this file; expected {_EXPECTED} a line")
    return FixedNegatives(
        dataset, is_filtered=False, seed=seed, negatives=negatives, path=path, sha256=content_of(path)
    )
