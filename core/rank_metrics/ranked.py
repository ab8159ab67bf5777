"""The rankings that metrics are of: a row for each triple and side, as every kind of results has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from proofrank.core.choices import SIDES
from proofrank.core.errors import ProofrankError, shown
from proofrank.core.rank_metrics.definitions import metric_value
from proofrank.core.rank_metrics.names import RANK_TYPES, MetricKey, metric_key, names_with


class RankRow(NamedTuple):
    """What metrics need of a ranking.

    Attributes:
        relation: name of the predicate.
        side: side whose constant the corruptions replace.
        ranks: ranks in the order of ``RANK_TYPES``: optimistic, realistic, pessimistic, random.
        num_candidates: number of candidates ranked, the positive included.
    """

    relation: str
    side: str
    ranks: tuple[float, float, float, float]
    num_candidates: int


class RankMetrics:
    """Metrics of at least one ranking, by PyKEEN's names.

    >>> rows = [RankRow("aunt", "head", (1, 1.5, 2, 1), 4), RankRow("aunt", "tail", (3, 3.0, 3, 3), 4)]
    >>> metrics = RankMetrics(rows)
    >>> metrics.metric("mean_rank"), metrics.metric("tail.hits_at_5")
    (2.25, 1.0)
    """

    def __init__(self, rows: Iterable[RankRow], rank_type: str = "realistic") -> None:
        """Takes rankings.

        Args:
            rows: rankings.
            rank_type: type of rank that counts in a name without one, one of ``RANK_TYPES``.

        Raises:
            ProofrankError: there is no ranking, or the type is unknown.
        """
        self._rows = list(rows)
        if not self._rows:
            raise ProofrankError("there is no ranking to take metrics of")
        if rank_type not in RANK_TYPES:
            raise ProofrankError(
                f"type of rank is {shown(rank_type)}; expected one of {', '.join(RANK_TYPES)}"
            )
        self._rank_type = rank_type

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], rank_type: str = "realistic") -> RankMetrics:
        """Takes rows of results, with ``relation``, ``side``, ``num_candidates``, and ``rank_optimistic``,
        ``rank_realistic``, ``rank_pessimistic`` and ``rank_random``.

        Raises:
            KeyError: a row lacks one of them.
            ProofrankError: there is no row, or a rank is not between 1 and the number of candidates.
        """
        return cls(map(_row, rows), rank_type)

    def __len__(self) -> int:
        return len(self._rows)

    def metric(self, name: str) -> float | None:
        """Returns a metric; None where chance has no spread to adjust for, such as with one candidate each.

        Args:
            name: ``[macro.][SIDE.][TYPE.]METRIC``, such as ``adjusted_hits_at_10`` or ``macro.tail.mrr``.

        Raises:
            MetricNameError: there is no such metric.
            ProofrankError: no ranking is on that side.
        """
        return self.value(metric_key(name))

    def value(self, key: MetricKey) -> float | None:
        """Returns the metric of ``key``; as :meth:`metric`."""
        rows = self._of_side[key.side]
        if not rows:
            raise ProofrankError(f"metric {str(key)!r}: no ranking is on side {key.side!r}")
        place = RANK_TYPES.index(key.rank_type or self._rank_type)
        if not key.is_macro:
            return _value(key, rows, place)
        by_relation: dict[str, list[RankRow]] = {}
        for row in rows:
            by_relation.setdefault(row.relation, []).append(row)
        values = [_value(key, own, place) for own in by_relation.values()]
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(values) else None

    def to_dict(
        self, ks: Iterable[int], *, macro: bool = False, side: str = "both", rank_type: str | None = None
    ) -> dict[str, float | None]:
        """Returns every metric by its canonical name, those with a k for each of ``ks``.

        Args:
            ks: the k of Hits@k and its variants.
            macro: whether each relation counts alike.
            side: ``head``, ``tail`` or ``both``.
            rank_type: one of ``RANK_TYPES``; None for that of the evaluation.
        """
        keys = map(metric_key, names_with(ks))
        return {key.name: self.value(MetricKey(key.metric, key.k, side, rank_type, macro)) for key in keys}

    @cached_property
    def _of_side(self) -> dict[str, list[RankRow]]:
        one_side = {side: [row for row in self._rows if row.side == side] for side in SIDES}
        return {**one_side, "both": self._rows}


def _value(key: MetricKey, rows: Sequence[RankRow], place: int) -> float | None:
    return metric_value(key, [row.ranks[place] for row in rows], [row.num_candidates for row in rows])


def _row(row: Mapping[str, Any]) -> RankRow:
    ranks = tuple(row[f"rank_{rank_type}"] for rank_type in RANK_TYPES)
    number = row["num_candidates"]
    if not all(isinstance(rank, int | float) and 1 <= rank <= number for rank in ranks):
        raise ProofrankError(f"ranks are {shown(ranks)}; expected numbers from 1 to {shown(number)}")
    return RankRow(row["relation"], row["side"], ranks, number)  # pyright: ignore[reportArgumentType] - of four
