"""The embedding that a server scores by, beside proofs."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.core.embedding import ScoreSource, TripleScorer, load_embedding
from proofrank.core.errors import EmbeddingError, ProofrankError
from proofrank.core.graph import Dataset
from proofrank.core.ranking import Hybrid, HybridWeights, Scoring, read_hybrid
from proofrank.service.errors import InvalidInput
from proofrank.service.settings.settings import Settings
from proofrank.service.wire import FieldError, ScoringRequest


@dataclass(frozen=True)
class ServedScores:
    """What scores beside proofs.

    Attributes:
        source: the embedding, or file of scores.
        scorer: scores the triples of the served graph.
        hybrid: weights for requests that give none.
    """

    source: ScoreSource
    scorer: TripleScorer
    hybrid: Hybrid

    def scoring(self, request: ScoringRequest, dataset: Dataset) -> Scoring:
        """The scoring that a request asks for, which is not ``proof``."""
        hybrid = self.hybrid
        if request.hybrid is not None:
            hybrid = Hybrid(HybridWeights(**request.hybrid.model_dump()))
        kind = "embedding" if request.scoring_kind == "embedding" else "hybrid"
        return Scoring(kind, self.source, self.scorer, dataset, hybrid)


def load_scores(settings: Settings, dataset: Dataset) -> ServedScores | None:
    """What the settings name; None for nothing.

    Raises:
        SettingsError: it cannot be read, or lacks a constant of ``dataset``.
    """
    if settings.embedding is None:
        if settings.hybrid is not None:
            raise settings.refusal("hybrid", "weights of hybrid scores; expected an embedding beside them")
        return None
    try:
        source = load_embedding(settings.embedding)
        scorer = source.scorer(dataset, settings.device)
    except EmbeddingError as error:
        raise settings.refusal("embedding", str(error)) from error
    try:
        hybrid = Hybrid() if settings.hybrid is None else read_hybrid(settings.hybrid)
        for relation in hybrid.by_relation:
            dataset.vocabulary.predicate_index(relation)
    except ProofrankError as error:
        raise settings.refusal("hybrid", str(error)) from error
    return ServedScores(source, scorer, hybrid)


def scoring_of_request(
    request: ScoringRequest, scores: ServedScores | None, dataset: Dataset
) -> Scoring | None:
    """The scoring that a request asks for; None for proofs alone.

    Raises:
        InvalidInput: the server has no embedding.
    """
    if request.scoring_kind == "proof":
        return None
    if scores is None:
        message = "this server has no embedding; expected 'proof', or a server with the setting 'embedding'"
        raise InvalidInput([FieldError(field="scoring", value=request.scoring_kind, message=message)])
    return scores.scoring(request, dataset)
