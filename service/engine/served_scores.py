"""The embedding that a server scores by, beside proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofrank.core.embedding import ScoreSource, TripleScorer, load_embedding
from proofrank.core.errors import EmbeddingError, ProofrankError, RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.ranking import Hybrid, HybridWeights, Scoring, check_fitted_with, read_hybrid
from proofrank.service import wire
from proofrank.service.errors import EmbeddingReplaced, InvalidInput
from proofrank.service.ranking.to_queries import NameReader
from proofrank.service.settings.settings import Settings
from proofrank.service.wire import FieldError, RelationWeights, ScoredOptions, Weights, WeightsFrom


@dataclass(frozen=True)
class ServedScores:
    """What scores beside proofs.

    Attributes:
        source: the embedding, or file of scores.
        scorer: scores the triples of the served graph.
        hybrid: the server's weights, for requests and policies that have none; None for the defaults.
    """

    source: ScoreSource
    scorer: TripleScorer
    hybrid: Hybrid | None

    def scoring(self, request: ScoredOptions, dataset: Dataset, of_policy: Hybrid | None) -> Scoring:
        """The scoring that a request asks for, which is not ``proof``.

        Args:
            request: says what the scores are.
            dataset: the served graph.
            of_policy: weights that are stored with the policy that ranks; None without any.

        Raises:
            InvalidInput: a relation with weights of its own is unknown, or the policy's weights were fitted with
                another embedding.
        """
        if request.scoring_kind == "embedding":
            return Scoring("embedding", self.source, self.scorer, dataset)
        hybrid, weights_from = self._weights(request, dataset, of_policy)
        warning = hybrid.warning_for(request.beam_width, request.score_of_beam)
        return Scoring("hybrid", self.source, self.scorer, dataset, hybrid, weights_from, warning)

    def _weights(
        self, request: ScoredOptions, dataset: Dataset, of_policy: Hybrid | None
    ) -> tuple[Hybrid, WeightsFrom]:
        """The weights of hybrid scores, and whose they are."""
        given = request.hybrid
        if given is not None:
            names = NameReader(dataset)
            for relation in given.by_relation or ():
                names.predicate(relation, "hybrid.by_relation")
            names.check()
            return _to_hybrid(given, given.by_relation or {}), "given"
        if of_policy is not None:
            try:
                check_fitted_with(of_policy, self.source)
            except RankingError as error:
                raise InvalidInput([FieldError(field="hybrid", value=None, message=str(error))]) from error
            return of_policy, "policy"
        return (Hybrid(), "default") if self.hybrid is None else (self.hybrid, "server")

    def as_stored(self, stored: wire.Scoring, dataset: Dataset) -> Scoring:
        """The scoring that a job was submitted with, by the same embedding (:func:`check_same`)."""
        if stored.weights is None:
            return Scoring("embedding", self.source, self.scorer, dataset)
        hybrid = _to_hybrid(stored.weights, stored.by_relation)
        of_weights = (hybrid, stored.weights_from, stored.warning)
        return Scoring("hybrid", self.source, self.scorer, dataset, *of_weights)

    def warning_for(
        self, request: ScoredOptions, weights_from: WeightsFrom | None, of_policy: Hybrid | None
    ) -> str | None:
        """What is to be said of weights that a job has, by the beam of ``request``; nothing of weights that a client
        gave, for nobody knows what they were fitted with.
        """
        fitted = of_policy if weights_from == "policy" else self.hybrid if weights_from == "server" else None
        return None if fitted is None else fitted.warning_for(request.beam_width, request.score_of_beam)


def _to_hybrid(
    overall: RelationWeights | Weights,
    by_relation: dict[str, RelationWeights] | dict[str, Weights],
) -> Hybrid:
    """The weights of a request, or of what is stored."""
    return Hybrid(_to_weights(overall), {name: _to_weights(own) for name, own in by_relation.items()})


def _to_weights(weights: RelationWeights | Weights) -> HybridWeights:
    return HybridWeights(weights.weight, weights.bonus, weights.penalty)


def check_same(stored: wire.Scoring, scores: ServedScores | None) -> None:
    """Raises EmbeddingError if ``scores`` are of another embedding than ``stored``."""
    wanted = stored.embedding
    assert wanted is not None, "only scores that need an embedding are stored"
    if scores is not None and scores.source.content_hash == wanted.sha256:
        return
    now = "this server has none"
    if scores is not None:
        now = f"now it is {scores.source.name!r} with {scores.source.content_hash}"
    raise EmbeddingError(f"embedding {wanted.name!r} with SHA-256 {wanted.sha256} is no longer served; {now}")


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
        hybrid = None if settings.hybrid is None else read_hybrid(settings.hybrid)
        for relation in () if hybrid is None else hybrid.by_relation:
            dataset.vocabulary.predicate_index(relation)
        if hybrid is not None:
            check_fitted_with(hybrid, source)
    except ProofrankError as error:
        raise settings.refusal("hybrid", str(error)) from error
    return ServedScores(source, scorer, hybrid)


def scoring_of_request(
    request: ScoredOptions, scores: ServedScores | None, dataset: Dataset, of_policy: Hybrid | None
) -> Scoring | None:
    """The scoring that a request asks for; None for proofs alone.

    Args:
        request: says what the scores are.
        scores: the server's embedding; None without one.
        dataset: the served graph.
        of_policy: weights that are stored with the policy that ranks; None without any.

    Raises:
        InvalidInput: the server has no embedding, a relation with weights of its own is unknown, or the policy's
            weights were fitted with another embedding.
    """
    if request.scoring_kind == "proof":
        return None
    if scores is None:
        message = "this server has no embedding; expected 'proof', or a server with the setting 'embedding'"
        raise InvalidInput([FieldError(field="scoring", value=request.scoring_kind, message=message)])
    return scores.scoring(request, dataset, of_policy)


def scoring_of_explanation(
    request: ScoredOptions,
    of_job: wire.Scoring | None,
    scores: ServedScores | None,
    dataset: Dataset,
    of_policy: Hybrid | None,
) -> Scoring | None:
    """The scoring by which a rank is explained: that of the request, or else of the job that it names; None for proofs
    alone.

    Args:
        request: perhaps says what the scores are; weights that it does not give are those of the job, if that has any.
        of_job: that of the job; None without a job, or where it ranks by proofs alone.
        scores: the server's embedding; None without one.
        dataset: the served graph.
        of_policy: weights that are stored with the policy that ranks; None without any.

    Raises:
        EmbeddingReplaced: the embedding of the job is no longer served.
        InvalidInput: as for :func:`scoring_of_request`.
    """
    is_of_job = request.hybrid is None and of_job is not None and request.scoring in (None, of_job.kind)
    if not is_of_job or of_job is None:
        return scoring_of_request(request, scores, dataset, of_policy)
    try:
        check_same(of_job, scores)
    except EmbeddingError as error:
        raise EmbeddingReplaced(str(error)) from error
    assert scores is not None, "it was checked"
    scoring = scores.as_stored(of_job, dataset)
    # The job may have had another beam.
    scoring.warning = scores.warning_for(request, of_job.weights_from, of_policy)
    return scoring


def check_scored(scoring: Scoring, triples: Sequence[Triple]) -> None:
    """Refuses queries whose relations the embedding does not know.

    Raises:
        InvalidInput: names the first of them.
    """
    try:
        scoring.scorer.check(triples)
    except EmbeddingError as error:
        raise unscored(scoring.kind, error) from error


def unscored(kind: str, error: EmbeddingError) -> InvalidInput:
    """What the answer says of a triple that the embedding does not score."""
    return InvalidInput([FieldError(field="scoring", value=kind, message=str(error))])
