"""Why a positive has its rank: its own proof, and that of each corruption that scores higher or as much.

The query is ranked with pruning. That loses nothing here: a corruption is left out or ended early only once its order
is certain (:mod:`proofrank.core.ranking.pruning`). With scores of proofs every corruption that scores higher or ties
has taken its course to the end, and its actions are known. Those that are shown and were pruned are proved once more,
without a threshold: they were asked for by name, or score higher by the embedding's part of hybrid scores though they
fail.

By an embedding alone nothing is proved, and what explains a rank are the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from proofrank.core.errors import RankingError
from proofrank.core.evaluator import Evaluator, ReferenceEvaluator, explain
from proofrank.core.evaluator.alternatives import StepChoices, check_most, choices_of
from proofrank.core.evaluator.explanation import Explanation
from proofrank.core.graph import Dataset, Triple
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.prover.beam_reference import BeamReferenceProver
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking.corruptions import with_constant
from proofrank.core.ranking.evaluation import rank_queries
from proofrank.core.ranking.metrics import RankedQuery
from proofrank.core.ranking.pruning import Pruning
from proofrank.core.ranking.queries import Query
from proofrank.core.ranking.scoring import Scoring

Standing = Literal["positive", "higher", "tied", "lower"]
"""How a candidate's score compares with the positive's."""


@dataclass(frozen=True)
class ScoreParts:
    """The score of a candidate, and what makes it.

    Attributes:
        score: by which it is ranked; of hybrid scores the sum of the two parts.
        embedding_score: the embedding's score; None with scores of proofs.
        embedding_part: of a hybrid score, ``weight`` times log sigmoid of the embedding's score; else None.
        proof_part: of a hybrid score, what the proof adds or the failure takes away; else None.
    """

    score: float
    embedding_score: float | None = None
    embedding_part: float | None = None
    proof_part: float | None = None


@dataclass(frozen=True)
class ExplainedOutcome:
    """A candidate, its outcome and its trajectory.

    Attributes:
        triple: the candidate.
        standing: how its score compares with the positive's.
        outcome: by which it was ranked, from the evaluator; pruned only where nothing is proved.
        explanation: the same actions, walked by the reference prover. Its log-probability may differ from the
            outcome's in the last digits, as that of any two engines may. None where nothing is proved.
        steps: what the policy could choose from at each step.
        proofs: with a beam, each proof that the candidate has in it, the best first; ``explanation`` is the first of
            them, or the most probable trajectory if there is none.
        parts: the parts of its score.
    """

    triple: Triple
    standing: Standing
    outcome: Outcome
    explanation: Explanation | None
    steps: tuple[StepChoices, ...]
    proofs: tuple[Explanation, ...]
    parts: ScoreParts

    @property
    def score(self) -> float:
        """The score by which it is ranked."""
        return self.parts.score


@dataclass(frozen=True)
class RankReasons:
    """A ranked query, and what decides its rank.

    Attributes:
        ranked: the query with its ranks.
        positive: the query's own triple.
        ahead: the first of those that score higher, the highest score first, and after all of these, of those that tie.
        also: the candidates that were asked for besides, in the order asked.
        num_higher: how many corruptions score higher, shown or not.
        num_tied: how many score as much.
    """

    ranked: RankedQuery
    positive: ExplainedOutcome
    ahead: tuple[ExplainedOutcome, ...]
    also: tuple[ExplainedOutcome, ...]
    num_higher: int
    num_tied: int


def rank_reasons(
    evaluator: Evaluator | None,
    reference: ReferenceEvaluator,
    dataset: Dataset,
    query: Query,
    *,
    first: int | None = 5,
    alternatives: int | None = 5,
    also: Sequence[int] = (),
    seed: int = 0,
    pruning: Pruning | None = None,
    beam: Beam | None = None,
    is_own: bool = False,
    scoring: Scoring | None = None,
) -> RankReasons:
    """Ranks ``query`` and explains its positive and what is not below it.

    Args:
        evaluator: proves the candidates, as in the evaluation whose rank is to be explained; None where ``scoring`` is
            ``embedding``.
        reference: walks their trajectories again; of the same graph, policy and settings.
        dataset: that graph, for the names in errors.
        query: what to rank.
        first: how many of those that score higher or tie are explained; None for all.
        alternatives: how many actions of each step are shown at most, at least 1; None for all.
        also: constants of corruptions to explain besides, wherever they rank.
        seed: seed of the random order of ties.
        pruning: what may be left out; nothing by default.
        beam: that of ``evaluator``; None for one trajectory of a candidate.
        is_own: whether the candidates of ``query`` are the caller's own, for the words of an error.
        scoring: what scores beside or instead of proofs; None for proofs alone.

    Raises:
        RankingError: ``first`` is negative, or one of ``also`` makes no corruption of this query.
        EvaluationError: a candidate cannot be evaluated exactly, or ``alternatives`` is below 1.
        EmbeddingError: a candidate has no score by the embedding.
    """
    if first is not None and first < 0:
        raise RankingError(f"first is {first}; expected 0 or more")
    check_most(alternatives)
    for constant in also:
        if constant not in query.constants:
            name = dataset.vocabulary.argument_name(constant)
            raise RankingError(f"also has {name!r}, {no_corruption(query, is_own=is_own)}")
    (ranked,) = rank_queries(evaluator, [query], seed=seed, pruning=pruning, scoring=scoring)
    return reasons_of(
        ranked,
        evaluator,
        reference,
        first=first,
        alternatives=alternatives,
        also=also,
        beam=beam,
        scoring=scoring,
    )


def reasons_of(
    ranked: RankedQuery,
    evaluator: Evaluator | None,
    reference: ReferenceEvaluator,
    *,
    first: int | None,
    alternatives: int | None,
    also: Sequence[int] = (),
    beam: Beam | None = None,
    scoring: Scoring | None = None,
) -> RankReasons:
    """Explains a query that has been ranked, with pruning or without.

    Args:
        ranked: the query with its outcomes.
        evaluator: proves to their end those that are explained and were pruned; None where ``scoring`` is
            ``embedding``.
        reference: as for :func:`rank_reasons`.
        first: as for :func:`rank_reasons`.
        alternatives: as for :func:`rank_reasons`.
        also: constants of ``ranked``.
        beam: by which ``ranked`` was ranked; None for one trajectory of a candidate.
        scoring: by which ``ranked`` was ranked; None for proofs alone.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly, or ``alternatives`` is below 1.
    """
    scores = ranked.candidate_scores
    prover = BeamReferenceProver(reference.prover) if beam is not None and beam.width > 1 else None

    def along(candidate: Candidate, actions: Sequence[int]) -> Explanation:
        return explain(reference.prover, reference.scorer, candidate, actions)

    def explained(index: int) -> ExplainedOutcome:
        is_positive = index == 0
        triple = (
            ranked.query
            if is_positive
            else with_constant(ranked.query, ranked.side, int(ranked.constants[index - 1]))
        )
        candidate = Candidate(triple, is_positive)
        outcome, proofs = ranked.outcomes[index], ()
        embedding = None if ranked.embedding is None else float(ranked.embedding[index])
        if not ranked.tries_proofs:
            parts = _parts(triple, outcome, embedding, scoring)
            return ExplainedOutcome(triple, _standing(index, scores), outcome, None, (), (), parts)
        if prover is not None and beam is not None:
            found = prover.prove(candidate, reference.scorer, beam)
            proofs = tuple(along(candidate, proof.actions) for proof in found.proofs)
        if outcome.is_pruned:
            assert evaluator is not None, "candidates were proved"
            outcome = evaluator.evaluate([candidate])[0]
        explanation = along(candidate, outcome.actions)
        steps = choices_of(reference.prover, explanation, alternatives)
        parts = _parts(triple, outcome, embedding, scoring)
        return ExplainedOutcome(triple, _standing(index, scores), outcome, explanation, steps, proofs, parts)

    not_below = 1 + np.flatnonzero(scores[1:] >= scores[0])
    # A stable sort: equal scores stay in ascending order of the constant, as everywhere.
    in_order = not_below[np.argsort(-scores[not_below], kind="stable")]
    places = {int(constant): 1 + place for place, constant in enumerate(ranked.constants)} if also else {}
    num_higher = ranked.ranks.optimistic - 1
    return RankReasons(
        ranked=ranked,
        positive=explained(0),
        ahead=tuple(explained(index) for index in in_order[:first].tolist()),
        also=tuple(explained(places[constant]) for constant in also),
        num_higher=num_higher,
        num_tied=ranked.ranks.pessimistic - 1 - num_higher,
    )


def _parts(triple: Triple, outcome: Outcome, embedding: float | None, scoring: Scoring | None) -> ScoreParts:
    """The parts of a candidate's score, given its outcome and the embedding's score of it."""
    if scoring is None or embedding is None:
        return ScoreParts(outcome.score)
    if scoring.kind == "embedding":
        return ScoreParts(embedding, embedding)
    columns = scoring.columns(np.array([embedding]), np.array([triple], dtype=np.int64))
    (own,) = columns.embedding_part.tolist()
    (added,) = columns.proof_part(np.array([outcome.success]), np.array([outcome.log_probability])).tolist()
    return ScoreParts(own + added, embedding, own, added)


def no_corruption(query: Query, *, is_own: bool = False) -> str:
    """Says why a constant makes no corruption of ``query``, whose candidates may be the caller's own."""
    if is_own:
        return f"which is none of the {len(query.constants)} candidates that are ranked"
    return (
        f"which makes no corruption of this query; expected one of the {len(query.constants)} that are ranked: of the "
        "same domain, no known triple unless unfiltered, and drawn"
    )


def _standing(index: int, scores: np.ndarray) -> Standing:
    if index == 0:
        return "positive"
    if scores[index] == scores[0]:
        return "tied"
    return "higher" if scores[index] > scores[0] else "lower"
