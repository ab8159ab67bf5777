"""Metrics over ranked queries, under the names that PyKEEN's users know.

==================  ======================================================  ==============  =========
name                definition                                              range           better is
==================  ======================================================  ==============  =========
mrr                 mean of 1 / rank                                        (0, 1]          larger
hits_at[k]          share of ranks <= k                                     [0, 1]          larger
mean_rank           mean of the ranks                                       [1, C]          smaller
adjusted_mean_      1 - mean(rank - 1) / mean((C - 1) / 2): 0 is chance,    [-1, 1]         larger
rank_index          1 is perfect (Berrendorf et al. 2020, eq. 7)
positives_proved    share of positives whose proof succeeded                [0, 1]          larger
corruptions_proved  share of corruptions whose proof succeeded              [0, 1]          smaller
==================  ======================================================  ==============  =========
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proofrank.core.choices import HITS_AT as HITS_AT
from proofrank.core.graph import Triple
from proofrank.core.metric_names import by_name
from proofrank.core.prover import Outcomes
from proofrank.core.ranking.corruptions import Side, triples_with
from proofrank.core.ranking.ranks import Ranks


@dataclass(frozen=True)
class RankingSummary:
    """The data of one query, ranked on one side, that the metrics need.

    Attributes:
        query_index: place in the request; the two sides of a query share it.
        side: side whose constant the corruptions replace.
        ranks: ranks of the positive.
        is_proved: whether the positive was proved.
        corruptions_proved: number of corruptions known to be proved.
        seconds: share of the time of the evaluation.
        knows_proved: whether the other corruptions are known not to be proved; pruning may leave that open.
        tries_proofs: whether candidates were to be proved; not where an embedding alone scores them.
    """

    query_index: int
    side: Side
    ranks: Ranks
    is_proved: bool
    corruptions_proved: int
    seconds: float
    knows_proved: bool = True
    tries_proofs: bool = True

    @property
    def corruptions_proved_if_known(self) -> int | None:
        """Number of corruptions that were proved; None if pruning has left it open."""
        return self.corruptions_proved if self.knows_proved else None


@dataclass(frozen=True, eq=False)
class RankedQuery:
    """One query, ranked on one side.

    Attributes:
        query_index: place in the request; the two sides of a query share it.
        query: the positive.
        side: side whose constant the corruptions replace.
        constants: the new constants of the corruptions, ``[C - 1]`` int64.
        outcomes: ``[C]``, outcomes of the candidates, the positive's first.
        ranks: ranks of the positive.
        seconds: share of the time of the evaluation, by steps taken.
        knows_proved: whether ``outcomes`` say of each corruption whether it is proved.
        scores: by which the candidates are ranked, ``[C]`` float64; None for those of the outcomes.
        embedding: the embedding's scores of the candidates, ``[C]`` float64; None if none is asked.
        tries_proofs: whether candidates were to be proved; not where the embedding alone scores them.
        embedding_part: the embedding's part of the candidates' hybrid scores, ``[C]`` float64; None for other scores.
    """

    query_index: int
    query: Triple
    side: Side
    constants: np.ndarray
    outcomes: Outcomes
    ranks: Ranks
    seconds: float
    knows_proved: bool = True
    scores: np.ndarray | None = None
    embedding: np.ndarray | None = None
    tries_proofs: bool = True
    embedding_part: np.ndarray | None = None

    @property
    def candidate_scores(self) -> np.ndarray:
        """The scores by which the candidates are ranked, ``[C]`` float64."""
        return self.outcomes.scores if self.scores is None else self.scores

    @property
    def positive_score(self) -> float:
        """The score by which the positive is ranked."""
        return float(self.outcomes.scores[0] if self.scores is None else self.scores[0])

    @property
    def candidates(self) -> list[Triple]:
        """``[C]``, the positive first."""
        return list(map(Triple._make, triples_with(self.query, self.side, self.constants).tolist()))

    @property
    def summary(self) -> RankingSummary:
        """The data that the metrics need."""
        return RankingSummary(
            query_index=self.query_index,
            side=self.side,
            ranks=self.ranks,
            is_proved=bool(self.outcomes.success[0]),
            corruptions_proved=int(np.count_nonzero(self.outcomes.success[1:])),
            seconds=self.seconds,
            knows_proved=self.knows_proved,
            tries_proofs=self.tries_proofs,
        )


@dataclass(frozen=True)
class Metrics:
    """Aggregate of ranked queries; see the module for the definitions.

    Attributes:
        rankings: number of ranks in the means: queries times sides.
        queries: number of queries.
        candidates: number of candidates.
        seconds: time of the evaluation.
    """

    mrr: float
    hits_at: dict[int, float]
    mean_rank: float
    adjusted_mean_rank_index: float | None
    """None if every positive was alone, so that there is no chance level."""
    positives_proved: float | None
    """None if nothing was to be proved, as an embedding alone ranks."""
    corruptions_proved: float | None
    """None if there is no corruption, or if pruning has left it open."""
    rankings: int
    queries: int
    candidates: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics with the keys of ``evaluate --json`` and ``/rank``."""
        return {
            **by_name(self),
            "rankings": self.rankings,
            "queries": self.queries,
            "candidates": self.candidates,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Report:
    """Metrics overall, per side, per relation (by name) and per depth of the proof, where depths are known."""

    overall: Metrics
    by_side: dict[str, Metrics]
    by_relation: dict[str, Metrics]
    by_depth: dict[str, Metrics] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the overall metrics, with ``by_side``, ``by_relation`` and, if known, ``by_depth`` of the same
        form.
        """
        parts = {"by_side": self.by_side, "by_relation": self.by_relation}
        if self.by_depth:
            parts["by_depth"] = self.by_depth
        return {
            **self.overall.to_dict(),
            **{
                part: {name: metrics.to_dict() for name, metrics in groups.items()}
                for part, groups in parts.items()
            },
        }
