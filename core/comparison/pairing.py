"""Two evaluations side by side, row by row; or the reason why a comparison of them would mean nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.comparison.rankings import Rankings, Triple
from proofrank.core.errors import ProofrankError

_MOST_NAMED = 3
"""Number of rankings that a message names."""


class ComparisonError(ProofrankError):
    """Two evaluations cannot be compared, or one cannot be read."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The rankings of two evaluations, in the same order: that of the first.

    Attributes:
        triples: ``[N]``, names of the triple.
        sides: ``[N]``, the side whose constant is replaced.
        ranks: ``[N, 2]`` float64, the rank in A and in B.
        num_candidates: ``[N]`` int64.
        is_proved: ``[N, 2]`` bool, whether the positive is proved in A and in B.
    """

    triples: tuple[Triple, ...]
    sides: tuple[str, ...]
    ranks: np.ndarray
    num_candidates: np.ndarray
    is_proved: np.ndarray


def paired(a: Rankings, b: Rankings) -> Pair:
    """Puts ``b`` into the order of ``a``. A triple that is ranked several times keeps its order.

    Raises:
        ComparisonError: they rank other triples, on other datasets, or otherwise; says what differs.
    """
    _check_dataset_and_protocol(a, b)
    if not len(a):
        raise ComparisonError(f"{a.label} has no rankings")
    order = _order(a, b)
    differs = np.flatnonzero(a.num_candidates != b.num_candidates[order])
    if differs.size:
        row = int(differs[0])
        raise ComparisonError(
            f"{_shown(a.triples[row], a.sides[row])} has {a.num_candidates[row]} candidates in A ({a.label}) and "
            f"{b.num_candidates[order[row]]} in B ({b.label}), and {differs.size} of {len(a)} rankings differ so; "
            "expected the same candidates"
        )
    return Pair(
        a.triples,
        a.sides,
        np.stack([a.ranks, b.ranks[order]], axis=1),
        a.num_candidates,
        np.stack([a.is_proved, b.is_proved[order]], axis=1),
    )


def _check_dataset_and_protocol(a: Rankings, b: Rankings) -> None:
    named = f"A ({a.label}) and B ({b.label})"
    if a.dataset.sha256 != b.dataset.sha256:
        raise ComparisonError(
            f"{named} are of two datasets: {a.dataset.name!r} with SHA-256 {a.dataset.sha256[:12]}… in A, "
            f"{b.dataset.name!r} with {b.dataset.sha256[:12]}… in B"
        )
    differences = a.protocol.differences(b.protocol)
    if differences:
        raise ComparisonError(f"{named} do not rank alike: {'; '.join(differences)}")


def _order(a: Rankings, b: Rankings) -> np.ndarray:
    """``[N]`` int64, the row in ``b`` of each row of ``a``."""
    rows_of_b: dict[tuple[Triple, str], list[int]] = defaultdict(list)
    for row in reversed(range(len(b))):
        rows_of_b[b.triples[row], b.sides[row]].append(row)
    order, only_in_a = [], []
    for key in zip(a.triples, a.sides, strict=True):
        rows = rows_of_b.get(key)
        if rows:
            order.append(rows.pop())
        else:
            only_in_a.append(key)
    only_in_b = [key for key, rows in rows_of_b.items() for _ in rows]
    if only_in_a or only_in_b:
        parts = [
            f"{len(keys)} only in {name} ({label}), such as {_some(keys)}"
            for keys, name, label in ((only_in_a, "A", a.label), (only_in_b, "B", b.label))
            if keys
        ]
        raise ComparisonError(f"they rank different queries: {'; '.join(parts)}")
    return np.array(order, dtype=np.int64)


def _some(keys: Sequence[tuple[Triple, str]]) -> str:
    return ", ".join(_shown(*key) for key in keys[:_MOST_NAMED])


def _shown(triple: Triple, side: str) -> str:
    head, relation, tail = triple
    return f"{relation}({head}, {tail}) on side {side}"
