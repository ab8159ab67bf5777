"""Metrics that are known to lie in intervals, where the ranks themselves are known to lie in intervals.

An interval is certain, not statistical: the value that a whole evaluation would give lies inside, bit for bit. Every
metric grows or falls with each rank, so its ends come from the lowest and the highest ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proofrank.core.metric_names import by_name
from proofrank.core.ranking.metrics import HITS_AT

_ROUNDING = 8 * 2.0**-53
"""Relative room at the ends of an interval of the MRR: twice what the roundings of the exact MRR can add up to."""


@dataclass(frozen=True)
class Interval:
    """A number that is at least ``low`` and at most ``high``."""

    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The number, if it is known; else None."""
        return self.low if self.low == self.high else None

    @property
    def half_width(self) -> float:
        """How far the middle is from the number at most."""
        return (self.high - self.low) / 2

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


@dataclass(frozen=True, eq=False)
class RankedSoFar:
    """Knowledge of some rankings, as columns; R is their number.

    Attributes:
        low: lowest possible rank of the positive, ``[R]`` float64.
        high: highest possible rank, ``[R]`` float64.
        query_index: ``[R]`` int64, the same for the two sides of a query.
        num_corruptions: ``[R]`` int64.
        num_open: corruptions that may still score more than the positive or less, ``[R]`` int64.
        is_proved: whether the positive is known to be proved, ``[R]`` bool.
        is_positive_known: whether the positive's outcome is known, ``[R]`` bool.
        num_proved: corruptions that are known to be proved, ``[R]`` int64.
        num_unsure: corruptions of which it is not known whether they are proved, ``[R]`` int64.
        steps: steps of the trajectories so far, ``[R]`` float64; those of a positive are shared among its rankings.
        tries_proofs: whether anything is proved.
    """

    low: np.ndarray
    high: np.ndarray
    query_index: np.ndarray
    num_corruptions: np.ndarray
    num_open: np.ndarray
    is_proved: np.ndarray
    is_positive_known: np.ndarray
    num_proved: np.ndarray
    num_unsure: np.ndarray
    steps: np.ndarray
    tries_proofs: bool = True

    def taken(self, rows: np.ndarray) -> RankedSoFar:
        """The rankings at ``rows``, ``[n]`` int64."""
        columns = {name: column[rows] for name, column in vars(self).items() if name != "tries_proofs"}
        return RankedSoFar(**columns, tries_proofs=self.tries_proofs)

    @property
    def num_candidates(self) -> int:
        """Number of candidates, positives included."""
        return len(self) + int(self.num_corruptions.sum())

    def __len__(self) -> int:
        return len(self.low)


@dataclass(frozen=True)
class MetricIntervals:
    """The interval of each metric; ``core.ranking.metrics`` has the definitions.

    Attributes:
        rankings: number of ranks in the means: queries times sides.
        queries: number of queries.
        candidates: number of candidates.
        open: candidates that may still move a rank.
        open_rankings: rankings that have such candidates.
        seconds: time of the evaluation so far; of a part, its share by steps.
    """

    mrr: Interval
    hits_at: dict[int, Interval]
    mean_rank: Interval
    adjusted_mean_rank_index: Interval | None
    """None if every positive was alone, so that there is no chance level."""
    positives_proved: Interval | None
    """None if nothing is proved."""
    corruptions_proved: Interval | None
    """None if there is no corruption, or nothing is proved."""
    rankings: int
    queries: int
    candidates: int
    open: int
    open_rankings: int
    seconds: float

    @property
    def by_name(self) -> dict[str, Interval | None]:
        """The intervals by the names of ``evaluate --json``."""
        return by_name(self)

    def to_dict(self) -> dict[str, Any]:
        """The keys of :meth:`proofrank.core.ranking.Metrics.to_dict`, None for what is not known, and the intervals."""
        return {
            **{name: None if found is None else found.value for name, found in self.by_name.items()},
            "intervals": {
                name: None if found is None else [found.low, found.high]
                for name, found in self.by_name.items()
            },
            "rankings": self.rankings,
            "queries": self.queries,
            "candidates": self.candidates,
            "open": self.open,
            "open_rankings": self.open_rankings,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class IntervalReport:
    """Intervals overall, per side, per relation (by name) and per depth of the proof, where depths are known."""

    overall: MetricIntervals
    by_side: dict[str, MetricIntervals]
    by_relation: dict[str, MetricIntervals]
    by_depth: dict[str, MetricIntervals]

    def to_dict(self) -> dict[str, Any]:
        """The overall metrics, with ``by_side``, ``by_relation`` and, if known, ``by_depth`` of the same form."""
        parts = {"by_side": self.by_side, "by_relation": self.by_relation}
        if self.by_depth:
            parts["by_depth"] = self.by_depth
        return {
            **self.overall.to_dict(),
            **{
                part: {name: found.to_dict() for name, found in groups.items()}
                for part, groups in parts.items()
            },
        }


def mrr_interval(ranked: RankedSoFar) -> Interval:
    """The interval of the MRR of at least one ranking."""
    low, high = (_mrr(ranks) for ranks in (ranked.high, ranked.low))
    if not ranked.num_open.any():
        return Interval(low, low)
    return Interval(low * (1 - _ROUNDING), min(1.0, high * (1 + _ROUNDING)))


def metric_intervals(
    ranked: RankedSoFar, seconds: float, hits_at: Sequence[int] = HITS_AT
) -> MetricIntervals:
    """The interval of each metric of at least one ranking.

    Args:
        ranked: the rankings.
        seconds: their share of the time.
        hits_at: the k of Hits@k.
    """
    num, corruptions = len(ranked), int(ranked.num_corruptions.sum())

    def between(metric: Callable[[np.ndarray], float]) -> Interval:
        ends = sorted((metric(ranked.low), metric(ranked.high)))
        return Interval(*ends)

    num_proved = int(ranked.num_proved.sum())
    positives = int(ranked.is_proved.sum())
    return MetricIntervals(
        mrr=mrr_interval(ranked),
        hits_at={k: between(lambda ranks, k=k: int(np.count_nonzero(ranks <= k)) / num) for k in hits_at},
        mean_rank=between(lambda ranks: float(ranks.sum()) / num),
        adjusted_mean_rank_index=between(lambda ranks: 1 - (float(ranks.sum()) - num) / (corruptions / 2))
        if corruptions
        else None,
        positives_proved=Interval(
            positives / num, (positives + int(np.count_nonzero(~ranked.is_positive_known))) / num
        )
        if ranked.tries_proofs
        else None,
        corruptions_proved=Interval(
            num_proved / corruptions, (num_proved + int(ranked.num_unsure.sum())) / corruptions
        )
        if corruptions and ranked.tries_proofs
        else None,
        rankings=num,
        queries=len(np.unique(ranked.query_index)),
        candidates=num + corruptions,
        open=int(ranked.num_open.sum()) + int(np.count_nonzero(~ranked.is_positive_known)),
        open_rankings=int(np.count_nonzero((ranked.num_open > 0) | ~ranked.is_positive_known)),
        seconds=seconds,
    )


def interval_report(
    ranked: RankedSoFar,
    parts: Mapping[str, Mapping[str, np.ndarray]],
    seconds: float,
    hits_at: Sequence[int] = HITS_AT,
) -> IntervalReport:
    """The intervals overall and of parts.

    Args:
        ranked: at least one ranking.
        parts: ``by_side``, ``by_relation`` and ``by_depth`` -> name of a part -> its rows, ``[n]`` int64, at least one.
        seconds: time of the whole, which parts share by steps.
        hits_at: the k of Hits@k.
    """
    total = float(ranked.steps.sum())

    def of(rows: np.ndarray) -> MetricIntervals:
        own = ranked.taken(rows)
        # Without a step, as embeddings alone take none, by the number of candidates.
        share = float(own.steps.sum()) / total if total else own.num_candidates / ranked.num_candidates
        return metric_intervals(own, seconds * share, hits_at)

    return IntervalReport(
        metric_intervals(ranked, seconds, hits_at),
        **{part: {name: of(rows) for name, rows in groups.items()} for part, groups in parts.items()},
    )


def _mrr(ranks: np.ndarray) -> float:
    """The mean of the reciprocals, in the arithmetic of :class:`proofrank.core.ranking.tally.Tally`."""
    values, counts = np.unique(ranks, return_counts=True)
    return math.fsum((counts / values).tolist()) / len(ranks)
