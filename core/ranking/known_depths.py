"""The depths of triples from the files beside a dataset, as names by which a report is divided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proofrank.core.choices import SPLITS
from proofrank.core.formats.depths import NOT_FOUND, UNPROVABLE, depths_file, read_depths
from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking.pruning import ProvableAtoms

NO_PROOF_FOUND = "no proof found"
"""Name of the depth of a triple whose file has -1, though a proof may exist."""

NOT_LISTED = "not listed"
"""Name of the depth of a triple that is not in a file."""


def has_depths(dataset: Dataset, splits: Sequence[str] = SPLITS) -> bool:
    """Whether there is a file of depths of one of ``splits`` beside the files of ``dataset``."""
    return bool(_files(dataset, splits))


def known_depths(
    dataset: Dataset, triples: Sequence[Triple], model: ProvableAtoms, splits: Sequence[str] = SPLITS
) -> list[str] | None:
    """The name of the depth of each triple: its fewest steps, or why they are not known.

    A triple without a proof in its file is ``unprovable`` where it is outside of the least model too, whatever the
    search that wrote the file.

    Args:
        dataset: the graph; files such as ``test_depths.txt`` stand beside its own.
        triples: the positives.
        model: says what has no proof.
        splits: whose files are read.

    Returns:
        None if there is no file.

    Raises:
        DatasetError: a file cannot be read.
    """
    files = _files(dataset, splits)
    if not files:
        return None
    depths: dict[tuple[str, str, str], str] = {}
    for path in files:
        depths |= read_depths(path)
    may_be_proved = model.contains(np.array(triples, dtype=np.int64).reshape(-1, 3))
    names: list[str] = []
    for triple, may_be in zip(triples, may_be_proved.tolist(), strict=True):
        depth = depths.get(dataset.names(triple))
        if depth is None:
            names.append(NOT_LISTED)
        elif depth == str(NOT_FOUND):
            names.append(NO_PROOF_FOUND if may_be else UNPROVABLE)
        else:
            names.append(depth)
    return names


def _files(dataset: Dataset, splits: Sequence[str]) -> list[Path]:
    if not dataset.files:
        return []
    folder = dataset.files[0].path.parent
    return [path for split in splits if (path := depths_file(folder, split)).is_file()]
