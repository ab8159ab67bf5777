"""The depths of the triples of the served graph, from the files beside it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from proofrank.core.choices import SPLITS
from proofrank.core.graph import Dataset
from proofrank.core.ranking import ProvableAtoms
from proofrank.core.ranking.known_depths import has_depths, known_depths


class SplitDepths:
    """The depths of whole splits, read once."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._read: tuple[ProvableAtoms, Mapping[tuple[str, str, str], str] | None] | None = None

    def of(self, dataset: Dataset, model: ProvableAtoms) -> Mapping[tuple[str, str, str], str] | None:
        """Returns the depth of each triple of the splits that have a file, by its names; None if there is no file.

        Args:
            dataset: always the same one.
            model: says what has no proof; the files are read again when it is another one.

        Raises:
            DatasetError: a file cannot be read.
        """
        with self._turn:
            if self._read is None or self._read[0] is not model:
                self._read = model, _depths(dataset, model)
            return self._read[1]


def _depths(dataset: Dataset, model: ProvableAtoms) -> Mapping[tuple[str, str, str], str] | None:
    splits = [split for split in SPLITS if has_depths(dataset, (split,))]
    depths: dict[tuple[str, str, str], str] = {}
    for split in splits:
        triples = dataset.splits[split]
        names = known_depths(dataset, triples, model, (split,))
        if names is not None:
            depths |= {dataset.names(triple): name for triple, name in zip(triples, names, strict=True)}
    return depths if splits else None
