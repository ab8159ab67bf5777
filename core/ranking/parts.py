"""The parts of an evaluation that a report gives metrics of: sides, relations, and depths where they are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking.corruptions import SIDES, Side

Parts = dict[str, dict[str, np.ndarray]]
"""``by_side``, ``by_relation``, ``by_depth`` -> name of a part -> its rankings, ``[n]`` int64."""


def parts_of(
    rankings: Sequence[tuple[Triple, Side]],
    dataset: Dataset,
    depths: Sequence[str] | None,
    query_index: np.ndarray,
) -> Parts:
    """Divides rankings into parts, each with at least one.

    Args:
        rankings: the positive and the side of each.
        dataset: gives the names and the order of relations.
        depths: name of the depth of each query's positive, if depths are known; parts are in the order of
            :func:`depth_order`.
        query_index: place of each ranking's query, ``[R]`` int64.
    """
    by_depth: dict[str, np.ndarray] = {}
    if depths is not None:
        names = [depths[int(index)] for index in query_index]
        by_depth = _rows(names, sorted(set(names), key=depth_order))
    relations = [dataset.vocabulary.predicate_name(triple.predicate) for triple, _ in rankings]
    return {
        "by_side": _rows([side for _, side in rankings], SIDES),
        "by_relation": _rows(relations, dataset.vocabulary.predicates),
        "by_depth": by_depth,
    }


def depth_order(name: str) -> tuple[int, str]:
    """The key by which names of depths are sorted: numbers first, then words."""
    return (int(name), "") if name.isdecimal() else (2**62, name)


def _rows(names: Sequence[str], order: Sequence[str]) -> dict[str, np.ndarray]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return {name: np.array(rows[name], dtype=np.int64) for name in order if name in rows}
