"""What a candidate's score is: its proof, an embedding of its triple, or both.

==============  ====================================================================================================
``scoring``     score of a candidate
==============  ====================================================================================================
``proof``       its log-probability, less 100 where it was not proved
``embedding``   s, the embedding's score of its triple; nothing is proved
``hybrid``      proved: ``w k + b``, or ``w k`` + its log-probability; failed: ``w k - penalty``; k is log sigmoid(s)
==============  ====================================================================================================

All of it is float64. :func:`hybrid_score` is the definition; :meth:`Scoring.scores` computes the same bits for many.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proofrank.core.choices import SCORINGS, ScoringKind
from proofrank.core.embedding import ScoreSource, TripleScorer
from proofrank.core.errors import RankingError, shown
from proofrank.core.graph import Dataset
from proofrank.core.prover import FAILURE_PENALTY, Outcomes

HYBRID_FORMAT = "proofrank-hybrid-1"

MOST_HYBRID_BYTES = 16 << 20
"""Maximum size of a file of weights in bytes."""


@dataclass(frozen=True)
class HybridWeights:
    """How a proof and an embedding make one score.

    Attributes:
        weight: w, by which log sigmoid of the embedding's score is multiplied; 0 or more.
        bonus: b, what a proof adds; None adds the log-probability of the proof instead.
        penalty: what a failure takes away; 0 or more.
    """

    weight: float = 1.0
    bonus: float | None = None
    penalty: float = FAILURE_PENALTY

    def __post_init__(self) -> None:
        """Raises RankingError for a value that is no finite number, or negative where it may not be."""
        for name in ("weight", "bonus", "penalty"):
            value = getattr(self, name)
            if value is None and name == "bonus":
                continue
            is_number = (
                isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            )
            if not is_number or value is None or (value < 0 and name != "bonus"):
                wanted = "a finite number, or null" if name == "bonus" else "a finite number of 0 or more"
                raise RankingError(f"{name} of hybrid scores is {shown(value)}; expected {wanted}")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> HybridWeights:
        """The weights by name; those that are missing have their defaults. Raises RankingError."""
        known = [known.name for known in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise RankingError(f"{shown(name)} of hybrid scores is unknown; expected {', '.join(known)}")
        return cls(**fields)


@dataclass(frozen=True)
class Hybrid:
    """The weights of hybrid scores, overall and perhaps per relation.

    Attributes:
        overall: for relations that have none of their own.
        by_relation: weights of relations, by their names.
    """

    overall: HybridWeights = HybridWeights()
    by_relation: Mapping[str, HybridWeights] = field(default_factory=dict)

    def of(self, relation: str) -> HybridWeights:
        """The weights of a relation."""
        return self.by_relation.get(relation, self.overall)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Hybrid:
        """What :meth:`to_dict` gives; ``format`` and ``fitted`` are ignored. Raises RankingError."""
        own = {
            name: value for name, value in fields.items() if name not in ("by_relation", "format", "fitted")
        }
        by_relation = fields.get("by_relation", {})
        if not isinstance(by_relation, Mapping) or not all(
            isinstance(of, Mapping) for of in by_relation.values()
        ):
            raise RankingError(
                f"by_relation of hybrid scores is {shown(by_relation)}; expected weights by the name of a relation"
            )
        return cls(
            HybridWeights.from_dict(own),
            {name: HybridWeights.from_dict(of) for name, of in by_relation.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """The weights by name, with ``by_relation`` where there are any."""
        of_relations = {name: dataclasses.asdict(of) for name, of in self.by_relation.items()}
        return dataclasses.asdict(self.overall) | ({"by_relation": of_relations} if of_relations else {})


def read_hybrid(path: Path) -> Hybrid:
    """Reads a file of weights, as ``proofrank fit-hybrid`` writes it.

    Raises:
        RankingError: it cannot be read, or a weight is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_HYBRID_BYTES + 1)
        if len(content) > MOST_HYBRID_BYTES:
            raise RankingError(
                f"{path}: larger than {MOST_HYBRID_BYTES} bytes; expected weights of hybrid scores"
            )
        fields = json.loads(content)
        if not isinstance(fields, dict):
            raise RankingError(f"{path}: a JSON {type(fields).__name__}; expected an object")
        if fields.get("format", HYBRID_FORMAT) != HYBRID_FORMAT:
            raise RankingError(f"{path}: 'format' is {shown(fields['format'])}; expected {HYBRID_FORMAT!r}")
        return Hybrid.from_dict(fields)
    except OSError as error:
        raise RankingError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RankingError(f"{path}: not JSON: {error}") from error


def log_sigmoid(score: float) -> float:
    """log(1 / (1 + exp(-score))), never above 0."""
    return -math.log1p(math.exp(-score)) if score >= 0 else score - math.log1p(math.exp(score))


def hybrid_score(embedding: float, proved: bool, log_probability: float, weights: HybridWeights) -> float:
    """The hybrid score of one candidate.

    Args:
        embedding: the embedding's score of its triple.
        proved: whether it was proved.
        log_probability: of its trajectory; it counts only if proved.
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
    """

    def __init__(
        self,
        kind: ScoringKind,
        source: ScoreSource,
        scorer: TripleScorer,
        dataset: Dataset,
        hybrid: Hybrid | None = None,
    ) -> None:
        """A way to score; :func:`make_scoring` checks what it is made of.

        Args:
            kind: ``embedding`` or ``hybrid``.
            source: what ``scorer`` was made of.
            scorer: scores triples of ``dataset``.
            dataset: gives the names of relations.
            hybrid: the weights of hybrid scores.
        """
        self.kind = kind
        self.source = source
        self.scorer = scorer
        self.hybrid = hybrid or Hybrid()
        of_index = [self.hybrid.of(name) for name in ("", *dataset.vocabulary.predicates)]
        self._weight = np.array([of.weight for of in of_index], dtype=np.float64)
        self._bonus = np.array(
            [math.nan if of.bonus is None else of.bonus for of in of_index], dtype=np.float64
        )
        self._penalty = np.array([of.penalty for of in of_index], dtype=np.float64)

    def embedding_scores(self, triples: np.ndarray) -> np.ndarray:
        """The embedding's scores of triples ``[C, 3]`` int64, ``[C]`` float64, in one call on its device."""
        return self.scorer.scores(triples)

    def columns(self, embedding: np.ndarray, triples: np.ndarray) -> WeightColumns:
        """The weights of candidates, given the embedding's scores ``[C]`` of their triples ``[C, 3]``."""
        predicates = triples[:, 0]
        # The same formula as log_sigmoid, element by element.
        part = self._weight[predicates] * -np.logaddexp(0.0, -embedding)
        return WeightColumns(part, self._bonus[predicates], self._penalty[predicates])

    def scores(self, embedding: np.ndarray, triples: np.ndarray, outcomes: Outcomes) -> np.ndarray:
        """The scores of candidates, ``[C]`` float64.

        Args:
            embedding: the embedding's scores of their triples, ``[C]`` float64.
            triples: ``[C, 3]`` int64.
            outcomes: of their trajectories, ``[C]``; those that were ended early count as failed.
        """
        if self.kind == "embedding":
            return embedding
        columns = self.columns(embedding, triples)
        return np.where(outcomes.success, columns.if_proved(outcomes.log_probability), columns.if_failed())

    def to_dict(self) -> dict[str, Any]:
        """What an answer says of its scores."""
        identity = {"name": self.source.name, "sha256": self.source.content_hash, "kind": self.source.kind}
        weights = {"weights": self.hybrid.to_dict()} if self.kind == "hybrid" else {}
        return {"kind": self.kind, "embedding": identity, **weights}


PROOF_SCORING: Mapping[str, Any] = {"kind": "proof"}
"""What an answer says of scores by proofs alone."""


def make_scoring(
    kind: str,
    source: ScoreSource | None,
    hybrid: Hybrid | None,
    dataset: Dataset,
    device: str | None = None,
) -> Scoring | None:
    """The scoring of a name; None for ``proof``.

    Args:
        kind: one of ``SCORINGS``.
        source: the embedding; None for ``proof``.
        hybrid: the weights; None takes the defaults.
        dataset: the graph.
        device: where to score, as torch names it.

    Raises:
        RankingError: the kind is unknown, the embedding is missing, or something is given that the kind does not use.
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
    for name in {} if hybrid is None else hybrid.by_relation:
        dataset.vocabulary.predicate_index(name)
    found: ScoringKind = "embedding" if kind == "embedding" else "hybrid"
    return Scoring(found, source, source.scorer(dataset, device), dataset, hybrid)
