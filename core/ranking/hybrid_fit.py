"""Fits the weights of hybrid scores to rankings: the choice with the highest MRR, overall or per relation.

An order of candidates depends on few numbers. With the log-probability of a proof, it depends on ``weight`` and
``penalty``; with a bonus, on ``(bonus + penalty) / weight`` alone, so that weight 1 and penalty 0 lose nothing. Every
choice of a grid is tried on all rankings. Among choices with the same MRR the one nearest to the defaults is taken.

The MRR of the choice on the rankings that chose it is too high. So the triples are divided into parts, and each part is
also ranked by the choice that the others make: ``held_out``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from proofrank.core.comparison.bootstrap import interval, resampled_means
from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset
from proofrank.core.hybrid import GREEDY, HYBRID_FORMAT, EmbeddingIdentity, FittedBeam, Hybrid, HybridWeights
from proofrank.core.prover import Outcomes
from proofrank.core.ranking.metrics import RankedQuery

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0)
PENALTIES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
BONUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 100.0)
"""Values of the grid. With weight 1 and bonus 0 a proof counts for nothing, with 100 nearly always for more than k."""

TIES = ("optimistic", "realistic", "pessimistic")
"""Ranks by which weights are fitted: those that nothing is drawn for."""

LEAST_RANKINGS = 20
"""Number of rankings that a relation needs for weights of its own."""

NUM_PARTS = 5
"""Number of parts for ``held_out``."""

_NUM_RESAMPLES = 2000
_CONFIDENCE = 0.95


def choices() -> tuple[HybridWeights, ...]:
    """The grid, the nearest to the defaults first."""
    with_proofs = [
        HybridWeights(weight, None, penalty) for weight, penalty in itertools.product(WEIGHTS, PENALTIES)
    ]
    with_bonus = [HybridWeights(1.0, bonus, 0.0) for bonus in BONUSES]

    def distance(choice: HybridWeights) -> tuple[bool, float, float]:
        of_weight = abs(math.log(choice.weight)) if choice.weight else math.inf
        return (choice.bonus is not None, of_weight, abs(choice.penalty - HybridWeights.penalty))

    return tuple(sorted([*with_proofs, *with_bonus], key=distance))


@dataclass(frozen=True)
class Estimate:
    """A mean over rankings.

    Attributes:
        mean: the mean.
        low: lower bound of its interval of 95 %, by resampling triples; None for a single triple.
        high: upper bound.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class HybridFit:
    """Fitted weights, and what they gain.

    Attributes:
        hybrid: the weights.
        mrr: MRR of ``proof``, of ``embedding``, of ``hybrid`` with the weights on the rankings that chose them, and of
            ``held_out``: hybrid scores of each part of the triples, with the weights that the other parts choose.
        gain: MRR of ``held_out`` less that of ``proof`` and of ``embedding``.
        triples: number of triples.
        rankings: number of rankings.
        embedding: the embedding that they were fitted with; None if it has no name.
        beam: the beam whose scores they were fitted to.
    """

    hybrid: Hybrid
    mrr: dict[str, Estimate]
    gain: dict[str, Estimate]
    triples: int
    rankings: int
    embedding: EmbeddingIdentity | None = None
    beam: FittedBeam = GREEDY

    def to_file(self) -> dict[str, Any]:
        """The content of a file of weights, as ``proofrank fit-hybrid`` writes it."""
        of_embedding = {} if self.embedding is None else {"embedding": self.embedding._asdict()}
        return {
            "format": HYBRID_FORMAT,
            **self.hybrid.to_dict(),
            **of_embedding,
            "fitted": self.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """The figures by name, as the file of weights holds them under ``fitted``."""
        return {
            "mrr": {name: vars(estimate) for name, estimate in self.mrr.items()},
            "gain": {name: vars(estimate) for name, estimate in self.gain.items()},
            "triples": self.triples,
            "rankings": self.rankings,
            "beam": self.beam._asdict(),
        }


class FitTable:
    """The candidates of rankings as columns.

    Attributes:
        relations: name of the relation of each ranking, ``[R]``.
        triples: place of the triple of each ranking, ``[R]`` int64.
    """

    def __init__(self, ranked: Sequence[RankedQuery], embedding: np.ndarray, dataset: Dataset) -> None:
        """The columns of ``ranked``, of whose candidates it must be known whether they are proved.

        Args:
            ranked: rankings by proofs.
            embedding: the embedding's scores of all candidates, ``[C]`` float64, in order.
            dataset: gives the names of relations.
        """
        sizes = np.array([len(query.outcomes) for query in ranked], dtype=np.int64)
        self._starts = np.cumsum(sizes) - sizes
        self._row = np.repeat(np.arange(len(ranked)), sizes)
        self._embedding = embedding
        self._k = -np.logaddexp(0.0, -embedding)
        self._outcomes = [query.outcomes for query in ranked]
        self.relations = [dataset.vocabulary.predicate_name(query.query.predicate) for query in ranked]
        self.triples = np.unique([query.query_index for query in ranked], return_inverse=True)[1]

    def _joined(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(outcomes, name) for outcomes in self._outcomes])

    @cached_property
    def _success(self) -> np.ndarray:
        return self._joined("success")

    @cached_property
    def _log_probability(self) -> np.ndarray:
        return self._joined("log_probability")

    def reciprocal_ranks(self, choice: HybridWeights | str, ties: str) -> np.ndarray:
        """1 / rank of each positive by a choice of weights, or by ``proof`` or ``embedding``, ``[R]`` float64."""
        if isinstance(choice, HybridWeights):
            proved = self._log_probability if choice.bonus is None else choice.bonus
            scores = choice.weight * self._k + np.where(self._success, proved, -choice.penalty)
        elif choice == "embedding":
            scores = self._embedding
        else:
            scores = np.concatenate([Outcomes.of(outcomes).scores for outcomes in self._outcomes])
        return self._reciprocal_ranks(scores, ties)

    def hybrid_reciprocal_ranks(self, hybrid: Hybrid, ties: str) -> np.ndarray:
        """1 / rank of each positive by the weights of its relation, ``[R]`` float64."""
        found = np.empty(len(self.relations))
        for relation in set(self.relations):
            rows = [row for row, name in enumerate(self.relations) if name == relation]
            found[rows] = self.reciprocal_ranks(hybrid.of(relation), ties)[rows]
        return found

    def _reciprocal_ranks(self, scores: np.ndarray, ties: str) -> np.ndarray:
        of_positive = scores[self._starts][self._row]
        larger = np.add.reduceat((scores > of_positive).astype(np.int64), self._starts)
        # The positive is one of its equals.
        equal = np.add.reduceat((scores == of_positive).astype(np.int64), self._starts) - 1
        return 1 / (1 + larger + {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}[ties] * equal)


def fit_weights(
    ranked: Sequence[RankedQuery],
    embedding: np.ndarray,
    dataset: Dataset,
    *,
    ties: str = "realistic",
    by_relation: bool = False,
    seed: int = 0,
) -> HybridFit:
    """Chooses the weights of hybrid scores by MRR.

    Args:
        ranked: rankings by proofs, in whose outcomes it is known of each candidate whether it is proved.
        embedding: the embedding's scores of all candidates, ``[C]`` float64, in order.
        dataset: gives the names of relations.
        ties: the rank that counts, one of ``TIES``.
        by_relation: whether relations with at least ``LEAST_RANKINGS`` rankings have weights of their own.
        seed: seed of the parts and of the resamples.

    Raises:
        RankingError: there is no ranking, pruning left open what is proved, or ``ties`` is another word.
    """
    if ties not in TIES:
        raise RankingError(f"ties is {ties!r}; to fit weights, expected one of {', '.join(TIES)}")
    if not ranked or not all(query.knows_proved for query in ranked):
        raise RankingError(
            "weights are fitted to rankings whose proofs are all known; expected pruning none or exact"
        )
    table = FitTable(ranked, embedding, dataset)
    grid = choices()
    tried = np.stack([table.reciprocal_ranks(choice, ties) for choice in grid])
    groups = _groups(table.relations) if by_relation else {}
    num_triples = int(table.triples.max()) + 1
    part_of = np.random.default_rng(seed).permutation(num_triples)[table.triples] % NUM_PARTS
    held_out = tried[0].copy()
    for part in range(NUM_PARTS):
        is_here = part_of == part
        if is_here.any() and not is_here.all():
            chosen = _chosen(tried, groups, ~is_here)
            held_out[is_here] = tried[chosen, np.arange(len(ranked))][is_here]
    chosen = _chosen(tried, groups, np.ones(len(ranked), dtype=bool))
    overall = grid[int(tried.mean(axis=1).argmax())]
    of_groups = {relation: grid[chosen[rows[0]]] for relation, rows in groups.items()}
    columns = {
        "proof": table.reciprocal_ranks("proof", ties),
        "embedding": table.reciprocal_ranks("embedding", ties),
        "hybrid": tried[chosen, np.arange(len(ranked))],
        "held_out": held_out,
    }
    columns |= {f"over {name}": held_out - columns[name] for name in ("proof", "embedding")}
    found = dict(zip(columns, estimates(list(columns.values()), table.triples, seed), strict=True))
    return HybridFit(
        hybrid=Hybrid(overall, of_groups),
        mrr={name: found[name] for name in ("proof", "embedding", "hybrid", "held_out")},
        gain={name: found[f"over {name}"] for name in ("proof", "embedding")},
        triples=num_triples,
        rankings=len(ranked),
    )


def _groups(relations: Sequence[str]) -> dict[str, np.ndarray]:
    """The rankings of each relation that has enough of them."""
    names = np.array(relations)
    rows = {relation: np.flatnonzero(names == relation) for relation in sorted(set(relations))}
    return {relation: of for relation, of in rows.items() if len(of) >= LEAST_RANKINGS}


def _chosen(tried: np.ndarray, groups: dict[str, np.ndarray], is_used: np.ndarray) -> np.ndarray:
    """The choice for each ranking, ``[R]`` int64, by the rankings that are used, ``[R]`` bool."""
    chosen = np.full(tried.shape[1], int(tried[:, is_used].mean(axis=1).argmax()))
    for rows in groups.values():
        used = rows[is_used[rows]]
        if len(used):
            chosen[rows] = int(tried[:, used].mean(axis=1).argmax())
    return chosen


def estimates(columns: Sequence[np.ndarray], triples: np.ndarray, seed: int) -> list[Estimate]:
    """The mean of each column over the rankings, with its interval.

    Args:
        columns: ``[R]`` float64 each.
        triples: place of the triple of each ranking, from 0, ``[R]`` int64.
        seed: seed of the resamples.
    """
    means = [float(column.mean()) for column in columns]
    num_triples = int(triples.max()) + 1
    if num_triples < 2:
        return [Estimate(mean, None, None) for mean in means]
    sums = np.stack([np.bincount(triples, column, num_triples) for column in columns], axis=1)
    sizes = np.bincount(triples, minlength=num_triples)
    resampled = resampled_means(sums, sizes, np.random.default_rng(seed), _NUM_RESAMPLES)
    low, high = interval(resampled, _CONFIDENCE, num_triples - 1)
    return [
        Estimate(mean, float(of_low), float(of_high))
        for mean, of_low, of_high in zip(means, low, high, strict=True)
    ]
