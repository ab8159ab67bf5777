"""The differences of the metrics of two evaluations, B less A, with intervals; and the rankings that changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from proofrank.core.choices import HITS_AT, SIDES
from proofrank.core.comparison.bootstrap import interval, resampled_means
from proofrank.core.comparison.identity import Identity
from proofrank.core.comparison.pairing import ComparisonError, Pair, paired
from proofrank.core.comparison.rankings import Protocol, Rankings, Triple
from proofrank.core.comparison.scores import scores_note

METRIC_NAMES = ("mrr", *(f"hits@{k}" for k in HITS_AT))
"""Names of the compared metrics; a larger value of each is better."""

FEW_CHANGES = 10
"""Number of changed triples below which an interval is too narrow to rely on (``docs/comparing.md``)."""

DEFAULT_CONFIDENCE = 0.95
MOST_RESAMPLES = 100_000

_RESAMPLES = (2000, 20_000)
"""Least and largest default number of resamples."""

_DEFAULT_DRAWS = 10_000_000
"""Number of triples that are drawn by default over all resamples: a fraction of a second."""


@dataclass(frozen=True)
class Difference:
    """A metric of two evaluations.

    Attributes:
        a: the metric in A.
        b: the metric in B.
        difference: B less A.
        low: lower bound of the interval of the difference; None without resamples, and with a single triple, which
            tells nothing of others.
        high: upper bound.
        changed: number of triples that the metric judges otherwise in B than in A.
        rests_on_few: whether so few triples changed that the interval is too narrow to rely on.
    """

    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    changed: int
    rests_on_few: bool

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high is not None and self.high < 0

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True)
class GroupDifference:
    """The metrics of two evaluations over a group of rankings.

    Attributes:
        triples: number of triples.
        rankings: number of rankings.
        better: number of rankings whose rank is better in B.
        worse: number of rankings whose rank is worse in B.
        metrics: the differences, by the names ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``.
    """

    triples: int
    rankings: int
    better: int
    worse: int
    metrics: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Macro:
    """Means over relations, each counting alike, whatever its number of triples.

    Attributes:
        relations: number of relations.
        metrics: the differences, by the names ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``.
    """

    relations: int
    metrics: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """The means as JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Change:
    """A ranking whose rank differs.

    Attributes:
        head: name of the triple's first constant.
        relation: name of its predicate.
        tail: name of its second constant.
        side: the side that its corruptions replace.
        depth: depth of the triple, where depths are given.
        rank_a: rank in A.
        rank_b: rank in B.
        num_candidates: number of candidates ranked.
        proved_a: whether the triple is proved in A.
        proved_b: whether the triple is proved in B.
    """

    head: str
    relation: str
    tail: str
    side: str
    depth: str | None
    rank_a: float
    rank_b: float
    num_candidates: int
    proved_a: bool
    proved_b: bool


@dataclass(frozen=True)
class Compared:
    """One of the two evaluations.

    Attributes:
        label: what it is called, such as a file or a job.
        policy: its policy.
        pruning: what it left out: ``none``, ``exact`` or ``ranks``.
    """

    label: str
    policy: Identity
    pruning: str

    @property
    def is_certified(self) -> bool:
        """Whether some ranks follow from bounds on scores, without a proof of every candidate."""
        return self.pruning != "none"

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as JSON."""
        return {
            "label": self.label,
            "policy": self.policy._asdict(),
            "pruning": self.pruning,
            "certified": self.is_certified,
        }


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same queries: A, the one before, and B.

    Attributes:
        a: the evaluation to compare with.
        b: the evaluation that is judged.
        dataset: dataset of both.
        protocol: how both rank.
        confidence: share of intervals that should hold the true difference.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.
        overall: over all rankings.
        macro: each relation alike.
        by_side: for each side.
        by_relation: for each relation, by its name.
        by_depth: for each depth, where depths are given; else empty.
        changed: the rankings whose rank differs, the worst loss of B first.
        scores_note: how the embeddings or the weights of hybrid scores differ, in words; None where they do not.
    """

    a: Compared
    b: Compared
    dataset: Identity
    protocol: Protocol
    confidence: float
    resamples: int
    seed: int
    overall: GroupDifference
    macro: Macro
    by_side: dict[str, GroupDifference]
    by_relation: dict[str, GroupDifference]
    by_depth: dict[str, GroupDifference]
    changed: tuple[Change, ...]
    scores_note: str | None = None

    @property
    def is_worse(self) -> bool:
        """Whether B is worse: the whole interval of the difference of MRR over all rankings lies below 0."""
        return self.overall.metrics["mrr"].is_worse

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""

        def groups(named: Mapping[str, GroupDifference]) -> dict[str, Any]:
            return {name: group.to_dict() for name, group in named.items()}

        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "dataset": self.dataset._asdict(),
            "protocol": self.protocol.to_dict(),
            "confidence": self.confidence,
            "resamples": self.resamples,
            "seed": self.seed,
            "is_worse": self.is_worse,
            "overall": self.overall.to_dict(),
            "macro": self.macro.to_dict(),
            "by_side": groups(self.by_side),
            "by_relation": groups(self.by_relation),
            "by_depth": groups(self.by_depth),
            "changed": [dict(vars(change)) for change in self.changed],
            "scores_note": self.scores_note,
        }


def compare_rankings(
    a: Rankings,
    b: Rankings,
    *,
    depths: Mapping[Triple, str] | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    resamples: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares B with A.

    Args:
        a: rankings of the evaluation to compare with.
        b: rankings of the evaluation that is judged.
        depths: depth of each triple, by its names, for metrics by depth.
        confidence: share of intervals that should hold the true difference, from 0.5 to 0.999.
        resamples: number of resamples of the bootstrap, from 100 to 100,000; by default 2,000 to 20,000, the more the
            fewer triples there are; 0 for no intervals.
        seed: seed of the bootstrap; the same one gives the same intervals.

    Raises:
        ComparisonError: they rank other triples or otherwise, a triple has no depth, or an option is out of range.
    """
    if not 0.5 <= confidence <= 0.999:
        raise ComparisonError(f"confidence is {confidence}; expected 0.5 to 0.999")
    if resamples is not None and resamples != 0 and not 100 <= resamples <= MOST_RESAMPLES:
        raise ComparisonError(
            f"resamples is {resamples}; expected 100 to {MOST_RESAMPLES}, or 0 for no intervals"
        )
    if seed < 0:
        raise ComparisonError(f"seed is {seed}; expected 0 or more")
    pair = paired(a, b)
    if resamples is None:
        resamples = min(max(_DEFAULT_DRAWS // len(set(pair.triples)), _RESAMPLES[0]), _RESAMPLES[1])
    row_depths = None if depths is None else _depths_of(pair, depths)
    groups = _Groups(pair, confidence, resamples, seed)
    by_relation, macro = groups.by_relation()
    return Comparison(
        a=Compared(a.label, a.policy, a.pruning),
        b=Compared(b.label, b.policy, b.pruning),
        dataset=a.dataset,
        protocol=a.protocol,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        overall=groups.overall(),
        macro=macro,
        by_side=groups.by_name(np.array(pair.sides), [side for side in SIDES if side in pair.sides], "side"),
        by_relation=by_relation,
        by_depth={}
        if row_depths is None
        else groups.by_name(row_depths, sorted(set(row_depths.tolist()), key=_numbers_first), "depth"),
        changed=_changed(pair, row_depths),
        scores_note=scores_note(a.scored_by, b.scored_by, is_same_policy=a.policy.sha256 == b.policy.sha256),
    )


_STREAMS = {"overall": 0, "side": 1, "relation": 2, "depth": 3, "single": 4}
"""Number of the random stream of each kind of group, so that none depends on the others."""


class _Groups:
    """The differences over groups of the rows of a pair."""

    def __init__(self, pair: Pair, confidence: float, resamples: int, seed: int) -> None:
        self._pair = pair
        self._confidence, self._resamples, self._seed = confidence, resamples, seed
        # [N, 2, M]
        self._values = np.stack(
            [1 / pair.ranks, *(np.where(pair.ranks <= k, 1.0, 0.0) for k in HITS_AT)], axis=2
        )
        numbers = {triple: number for number, triple in enumerate(dict.fromkeys(pair.triples))}
        # [N]
        self._triples = np.array([numbers[triple] for triple in pair.triples], dtype=np.int64)
        self._everything = self._resampled_group(np.arange(len(self._triples)), "overall", 0)

    def overall(self) -> GroupDifference:
        """Over all rows."""
        return self._everything[0]

    def by_name(self, names: np.ndarray, order: Sequence[str], kind: str) -> dict[str, GroupDifference]:
        """Over the rows of each name; ``names`` is ``[N]``."""
        return {
            name: self._group(np.flatnonzero(names == name), kind, index)[0]
            for index, name in enumerate(order)
        }

    def by_relation(self) -> tuple[dict[str, GroupDifference], Macro]:
        """Over the rows of each relation, and the mean over relations."""
        names = np.array([relation for _, relation, _ in self._pair.triples])
        groups: dict[str, GroupDifference] = {}
        strata: list[_Stratum] = []
        singles: list[int] = []
        for index, name in enumerate(np.unique(names).tolist()):
            rows = np.flatnonzero(names == name)
            groups[name], means = self._group(rows, "relation", index)
            if means is None:
                singles.extend(rows.tolist())
            else:
                strata.append(_Stratum(means, groups[name].triples - 1))
        if not self._resamples:
            return groups, _macro(list(groups.values()), None)
        num_singles = len(groups) - len(strata)
        if num_singles > 1:
            # A relation with one triple tells nothing of its own spread; together they give an upper bound of it.
            means = self._resampled(self._triples_alike(singles), "single", 0)
            strata.append(_Stratum(num_singles * means, num_singles - 1))
        elif singles:
            strata.append(_Stratum(self._differences(np.array(singles)).mean(axis=0)[None], 0))
        bounds = _bounds_of_sum(strata, self._confidence)
        return groups, _macro(list(groups.values()), None if bounds is None else bounds / len(groups))

    def _group(self, rows: np.ndarray, kind: str, index: int) -> tuple[GroupDifference, np.ndarray | None]:
        """The differences over ``rows``, and the means of their resamples ``[R, M]``; None for a single triple."""
        # One relation, or one side, is everything, and gets the same interval.
        is_everything = len(rows) == len(self._triples)
        return self._everything if is_everything else self._resampled_group(rows, kind, index)

    def _resampled_group(
        self, rows: np.ndarray, kind: str, index: int
    ) -> tuple[GroupDifference, np.ndarray | None]:
        values = self._values[rows]
        ranks = self._pair.ranks[rows]
        sums, sizes = self._per_triple(rows)
        means = bounds = None
        if len(sums) > 1 and self._resamples:
            means = self._resampled((sums, sizes), kind, index)
            bounds = interval(means, self._confidence, len(sums) - 1)
        changed = self._changed_triples(rows)
        metrics = {}
        for column, name in enumerate(METRIC_NAMES):
            of_a, of_b = float(values[:, 0, column].mean()), float(values[:, 1, column].mean())
            low, high = (None, None) if bounds is None else bounds[:, column].tolist()
            number = int(changed[column])
            metrics[name] = Difference(
                *(of_a, of_b, of_b - of_a, low, high), changed=number, rests_on_few=number < FEW_CHANGES
            )
        group = GroupDifference(
            triples=len(sums),
            rankings=len(rows),
            better=int(np.count_nonzero(ranks[:, 1] < ranks[:, 0])),
            worse=int(np.count_nonzero(ranks[:, 1] > ranks[:, 0])),
            metrics=metrics,
        )
        return group, means

    def _resampled(self, per_triple: tuple[np.ndarray, np.ndarray], kind: str, index: int) -> np.ndarray:
        generator = np.random.default_rng([self._seed, _STREAMS[kind], index])
        return resampled_means(*per_triple, generator, self._resamples)

    def _per_triple(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``[T, M]``, sum of the differences of the rankings of each triple in ``rows``; ``[T]``, their number."""
        _, of_row = np.unique(self._triples[rows], return_inverse=True)
        sums = np.stack([np.bincount(of_row, column) for column in self._differences(rows).T], axis=1)
        return sums, np.bincount(of_row)

    def _triples_alike(self, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`_per_triple`, with means in place of sums: each triple counts alike."""
        sums, sizes = self._per_triple(np.array(rows))
        return sums / sizes[:, None], np.ones(len(sizes))

    def _differences(self, rows: np.ndarray) -> np.ndarray:
        """``[N, M]``, B less A of each row."""
        return self._values[rows, 1] - self._values[rows, 0]

    def _changed_triples(self, rows: np.ndarray) -> np.ndarray:
        """``[M]``, number of triples in ``rows`` with a ranking whose value differs."""
        differs = self._values[rows, 1] != self._values[rows, 0]
        return np.array([len(np.unique(self._triples[rows][column])) for column in differs.T])


class _Stratum(NamedTuple):
    """Triples that are resampled apart from others.

    Attributes:
        means: ``[R, M]`` resampled values, or ``[1, M]`` for what does not vary.
        degrees: number of triples less 1.
    """

    means: np.ndarray
    degrees: int


def _bounds_of_sum(strata: Sequence[_Stratum], confidence: float) -> np.ndarray | None:
    """``[2, M]``, the bounds of the sum of the values of strata; None if none of them varies."""
    varying = [stratum for stratum in strata if stratum.degrees]
    if not varying:
        return None
    total = sum((stratum.means for stratum in strata), np.zeros(1))
    variances = np.stack([stratum.means.var(axis=0) for stratum in varying])
    degrees = np.array([[stratum.degrees] for stratum in varying])
    # By Satterthwaite: the fewer triples give most of the variance, the fewer degrees; all where nothing varies.
    weighted = (variances**2 / degrees).sum(axis=0)
    effective = np.where(
        weighted > 0, variances.sum(axis=0) ** 2 / np.where(weighted > 0, weighted, 1), degrees.sum()
    )
    columns = [
        interval(total[:, column : column + 1], confidence, max(1, int(number)))
        for column, number in enumerate(effective)
    ]
    return np.concatenate(columns, axis=1)


def _macro(groups: Sequence[GroupDifference], bounds: np.ndarray | None) -> Macro:
    weights = np.array([1 / group.triples for group in groups])
    metrics = {}
    for column, name in enumerate(METRIC_NAMES):
        of_groups = [group.metrics[name] for group in groups]
        of_a = float(np.mean([difference.a for difference in of_groups]))
        of_b = float(np.mean([difference.b for difference in of_groups]))
        low, high = (None, None) if bounds is None else bounds[:, column].tolist()
        changed = np.array([difference.changed for difference in of_groups])
        # A triple of a rare relation weighs more than others: how many changes of one weight are worth as much (Kish).
        effective = (weights @ changed) ** 2 / max(float(weights**2 @ changed), 1e-300)
        metrics[name] = Difference(
            *(of_a, of_b, of_b - of_a, low, high),
            changed=int(changed.sum()),
            rests_on_few=bool(effective < FEW_CHANGES),
        )
    return Macro(len(groups), metrics)


def _depths_of(pair: Pair, depths: Mapping[Triple, str]) -> np.ndarray:
    """``[N]``, depth of each row."""
    missing = [triple for triple in dict.fromkeys(pair.triples) if triple not in depths]
    if missing:
        head, relation, tail = missing[0]
        raise ComparisonError(
            f"{len(missing)} ranked triples have no depth, such as {relation}({head}, {tail}); expected one for each"
        )
    return np.array([depths[triple] for triple in pair.triples])


def _numbers_first(depth: str) -> tuple[bool, float, str]:
    """Orders depths as numbers where they are numbers."""
    try:
        return False, float(depth), depth
    except ValueError:
        return True, 0.0, depth


def _changed(pair: Pair, depths: np.ndarray | None) -> tuple[Change, ...]:
    ranks = pair.ranks
    rows = np.flatnonzero(ranks[:, 0] != ranks[:, 1])
    gains = 1 / ranks[rows, 1] - 1 / ranks[rows, 0]
    # By what they take from the MRR, then by places lost.
    order = np.lexsort((rows, ranks[rows, 0] - ranks[rows, 1], gains))
    changes = []
    for row in rows[order].tolist():
        head, relation, tail = pair.triples[row]
        changes.append(
            Change(
                *(head, relation, tail, pair.sides[row]),
                depth=None if depths is None else str(depths[row]),
                rank_a=float(ranks[row, 0]),
                rank_b=float(ranks[row, 1]),
                num_candidates=int(pair.num_candidates[row]),
                proved_a=bool(pair.is_proved[row, 0]),
                proved_b=bool(pair.is_proved[row, 1]),
            )
        )
    return tuple(changes)
