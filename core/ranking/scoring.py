"""What a candidate's score is: its proof, an embedding of its triple, or both.

==============  ====================================================================================================
``scoring``     score of a candidate
==============  ====================================================================================================
``proof``       its log-probability, less 100 where it was not proved
``embedding``   s, the embedding's score of its triple; nothing is proved
``hybrid``      proved: ``w k + b``, or ``w k`` + its log-probability; failed: ``w k - penalty``; k is log sigmoid(s)
==============  ====================================================================================================

With a beam, what its proofs give together (``beam_score``) takes the place of the log-probability.

All of it is float64. :func:`hybrid_score` is the definition; :meth:`Scoring.scores` computes the same bits for many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proofrank.core.choices import SCORINGS, ScoringKind, WeightsFrom
from proofrank.core.embedding import ScoreSource, TripleScorer
from proofrank.core.errors import EmbeddingError, RankingError, shown
from proofrank.core.graph import Dataset, Triple
from proofrank.core.hybrid import Hybrid, HybridWeights
from proofrank.core.prover import Outcomes
from proofrank.core.prover.beams import Beam


def log_sigmoid(score: float) -> float:
    """log(1 / (1 + exp(-score))), never above 0."""
    return -math.log1p(math.exp(-score)) if score >= 0 else score - math.log1p(math.exp(score))


def hybrid_score(embedding: float, proved: bool, log_probability: float, weights: HybridWeights) -> float:
    """The hybrid score of one candidate.

    Args:
        embedding: the embedding's score of its triple.
        proved: whether it was proved.
        log_probability: of its trajectory, or of the proofs of its beam together; it counts only if proved.
        weights: of its relation.
    """
    if not proved:
        term = -weights.penalty
    elif weights.bonus is None:
        term = log_probability
    else:
        term = weights.bonus
    return weights.weight * log_sigmoid(embedding) + term


@dataclass(frozen=True, eq=False)
class WeightColumns:
    """The weights of candidates, ``[C]`` float64 each.

    Attributes:
        embedding_part: w k.
        bonus: b; NaN where a proof adds its log-probability.
        penalty: what a failure takes away.
    """

    embedding_part: np.ndarray
    bonus: np.ndarray
    penalty: np.ndarray

    def at(self, index: slice | np.ndarray) -> WeightColumns:
        """Those of some candidates."""
        return WeightColumns(self.embedding_part[index], self.bonus[index], self.penalty[index])

    def proof_part(self, proved: np.ndarray, log_probability: np.ndarray) -> np.ndarray:
        """What a proof adds to each score, or a failure takes away; with the embedding's part it sums up to the score.

        Args:
            proved: ``[C]`` bool.
            log_probability: ``[C]`` float64; it counts only where a candidate is proved and there is no bonus.
        """
        added = np.where(np.isnan(self.bonus), log_probability, self.bonus)
        return np.where(proved, added, -self.penalty)

    def if_failed(self) -> np.ndarray:
        """The score of each candidate, were it to fail."""
        return self.embedding_part + -self.penalty

    def if_proved(self, log_probability: np.ndarray | float) -> np.ndarray:
        """The score of each candidate, were it proved with a log-probability."""
        return self.embedding_part + np.where(np.isnan(self.bonus), log_probability, self.bonus)


class Scoring:
    """Scores candidates of one graph by an embedding, or by an embedding and a proof.

    Attributes:
        kind: ``embedding`` or ``hybrid``.
        source: the embedding.
        hybrid: the weights of hybrid scores.
        weights_from: whose they are.
        warning: what to say of the weights; None where there is nothing.
    """

    def __init__(
        self,
        kind: ScoringKind,
        source: ScoreSource,
        scorer: TripleScorer,
        dataset: Dataset,
        hybrid: Hybrid | None = None,
        weights_from: WeightsFrom | None = None,
        warning: str | None = None,
    ) -> None:
        """A way to score; :func:`make_scoring` checks what it is made of.

        Args:
            kind: ``embedding`` or ``hybrid``.
            source: what ``scorer`` was made of.
            scorer: scores triples of ``dataset``.
            dataset: gives the names of relations.
            hybrid: the weights of hybrid scores; None takes the defaults.
            weights_from: whose they are; by default ``given``, or ``default`` where there are none.
            warning: what to say of the weights.
        """
        self.kind: ScoringKind = kind
        self.source = source
        self.scorer = scorer
        self.hybrid = hybrid or Hybrid()
        self.weights_from: WeightsFrom = weights_from or ("default" if hybrid is None else "given")
        self.warning = warning
        self._dataset = dataset
        of_index = [self.hybrid.of(name) for name in ("", *dataset.vocabulary.predicates)]
        self._weight = np.array([of.weight for of in of_index], dtype=np.float64)
        self._bonus = np.array(
            [math.nan if of.bonus is None else of.bonus for of in of_index], dtype=np.float64
        )
        self._penalty = np.array([of.penalty for of in of_index], dtype=np.float64)

    def embedding_scores(self, triples: np.ndarray) -> np.ndarray:
        """The embedding's scores of triples ``[C, 3]`` int64, ``[C]`` float64, in one call on its device.

        Raises:
            EmbeddingError: a triple has no score, or one that is not finite.
        """
        scores = self.scorer.scores(triples)
        self.check_finite(scores, triples, "score by the embedding")
        return scores

    def check_finite(self, scores: np.ndarray, triples: np.ndarray, what: str) -> None:
        """Refuses scores that compare with nothing, or with nothing but themselves.

        Args:
            scores: ``[C]`` float64.
            triples: whose they are, ``[C, 3]`` int64.
            what: name of these scores, for the error.

        Raises:
            EmbeddingError: one is not finite; names its triple.
        """
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            head, relation, tail = self._dataset.names(Triple._make(triples[bad[0]].tolist()))
            raise EmbeddingError(
                f"the {what} of {relation}({head},{tail}) is {scores[bad[0]]} ({len(bad)} of {len(scores)} triples "
                f"that are scored together, by {self.source.name!r}); expected finite numbers"
            )

    def columns(self, embedding: np.ndarray, triples: np.ndarray) -> WeightColumns:
        """The weights of candidates, given the embedding's scores ``[C]`` of their triples ``[C, 3]``.

        Raises:
            EmbeddingError: the embedding's part of a score is not finite.
        """
        predicates = triples[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            # The same formula as log_sigmoid, element by element.
            part = self._weight[predicates] * -np.logaddexp(0.0, -embedding)
        self.check_finite(part, triples, "embedding's part of the hybrid score")
        return WeightColumns(part, self._bonus[predicates], self._penalty[predicates])

    def scores(self, embedding: np.ndarray, triples: np.ndarray, outcomes: Outcomes) -> np.ndarray:
        """The scores of candidates, ``[C]`` float64.

        Args:
            embedding: the embedding's scores of their triples, ``[C]`` float64.
            triples: ``[C, 3]`` int64.
            outcomes: of their trajectories, ``[C]``; those that were ended early count as failed.

        Raises:
            EmbeddingError: the embedding's part of a hybrid score is not finite.
        """
        if self.kind == "embedding":
            return embedding
        columns = self.columns(embedding, triples)
        return np.where(outcomes.success, columns.if_proved(outcomes.log_probability), columns.if_failed())

    def to_dict(self) -> dict[str, Any]:
        """What an answer says of its scores."""
        weights: dict[str, Any] = {}
        if self.kind == "hybrid":
            weights = {"weights": self.hybrid.to_dict(), "weights_from": self.weights_from}
            if self.warning is not None:
                weights["warning"] = self.warning
        return {"kind": self.kind, "embedding": identity_of(self.source), **weights}


def identity_of(source: ScoreSource) -> dict[str, str]:
    """Returns name, SHA-256 and kind of an embedding or a file of scores."""
    return {"name": source.name, "sha256": source.content_hash, "kind": source.kind}


PROOF_SCORING: Mapping[str, Any] = {"kind": "proof"}
"""What an answer says of scores by proofs alone."""


def make_scoring(
    kind: str,
    source: ScoreSource | None,
    hybrid: Hybrid | None,
    dataset: Dataset,
    device: str | None = None,
    *,
    stored: Hybrid | None = None,
    beam: Beam | None = None,
) -> Scoring | None:
    """The scoring of a name; None for ``proof``.

    Args:
        kind: one of ``SCORINGS``.
        source: the embedding; None for ``proof``.
        hybrid: the weights; None takes those that are stored, or else the defaults.
        dataset: the graph.
        device: where to score, as torch names it.
        stored: weights that are stored with the policy; None without any.
        beam: the trajectories that are scored; None for the greedy one. Weights that were fitted to another beam score
            with a warning.

    Raises:
        RankingError: the kind is unknown, the embedding is missing, something is given that the kind does not use, or
            the stored weights were fitted with another embedding.
        EmbeddingError: the embedding lacks a constant of the graph.
    """
    if kind not in SCORINGS:
        raise RankingError(f"scoring is {kind!r}; expected one of {', '.join(SCORINGS)}")
    if hybrid is not None and kind != "hybrid":
        raise RankingError(f"weights of hybrid scores are given, and scoring is {kind!r}; expected 'hybrid'")
    if kind == "proof":
        if source is not None:
            raise RankingError(
                "an embedding is given, and scoring is 'proof'; expected 'embedding' or 'hybrid'"
            )
        return None
    if source is None:
        raise RankingError(f"scoring is {kind!r}, which needs an embedding; none is given")
    found: ScoringKind = "embedding" if kind == "embedding" else "hybrid"
    weights_from: WeightsFrom | None = None
    if found == "hybrid" and hybrid is None and stored is not None:
        check_fitted_with(stored, source)
        hybrid, weights_from = stored, "policy"
    for name in {} if hybrid is None else hybrid.by_relation:
        dataset.vocabulary.predicate_index(name)
    beam = beam or Beam()
    warning = None if hybrid is None else hybrid.warning_for(beam.width, beam.score)
    return Scoring(found, source, source.scorer(dataset, device), dataset, hybrid, weights_from, warning)


def check_fitted_with(stored: Hybrid, source: ScoreSource) -> None:
    """Refuses weights for another embedding than they were fitted with.

    Raises:
        RankingError: names both.
    """
    wanted = stored.fitted_with
    if wanted is not None and wanted.sha256 != source.content_hash:
        raise RankingError(
            f"the weights of hybrid scores were fitted with the embedding {shown(wanted.name)} with "
            f"SHA-256 {shown(wanted.sha256)}, and scores are of {source.name!r} with {source.content_hash}; expected "
            "that embedding, or other weights"
        )
