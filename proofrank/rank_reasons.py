"""Why a triple has its rank: its proof, and the proofs of the corruptions that score higher or as much.

why = proofrank.why(dataset, policy, ("albania", "locatedInCR", "europe"), side="tail", corruptions="all")
print(why.ranking.rank, why.num_higher)
print(why.text)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from proofrank.arguments import check_loaded, triple_by_index
from proofrank.core.choices import SIDES
from proofrank.core.errors import RankingError
from proofrank.core.evaluator import (
    Evaluator,
    ReferenceEvaluator,
    create_evaluator,
    render_proof,
    settings_for,
)
from proofrank.core.evaluator.alternatives import StepChoices, goal_texts, render_choices
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.protocol_rules import RankingRules, settled
from proofrank.core.protocols import check_protocol_of_one, corruptor_of
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import (
    PROOF_SCORING,
    TIE_POLICIES,
    Corruptor,
    ExplainedOutcome,
    Query,
    Scoring,
    pruning_of,
    rank_reasons,
    sides_of,
)
from proofrank.in_process import (
    EmbeddingSource,
    HybridSource,
    NamedTriple,
    TripleRanking,
    beam_of,
    number_of,
    scoring_of,
    triple_ranking,
)
from proofrank.interval_evaluation import NO_ENGINE

_STANDINGS = {
    "positive": "the triple itself",
    "higher": "scores higher",
    "tied": "scores as much",
    "lower": "scores lower",
}
"""Words for how a candidate compares with the positive."""


@dataclass(frozen=True)
class StepAlternative:
    """An action that the policy could take at a step.

    Attributes:
        how: what it resolves the first goal with, ``rule NAME`` or ``fact``; else ``gives up`` or ``nothing left to
            try``.
        goals: what is left to prove after it; ``("True",)`` where nothing is.
        probability: under the policy.
        is_chosen: whether the policy takes it.
    """

    how: str
    goals: tuple[str, ...]
    probability: float
    is_chosen: bool


@dataclass(frozen=True)
class ExplainedStep:
    """One step of a trajectory, and what else the policy could have done.

    Attributes:
        goals: what is left to prove before it; the first goal is resolved.
        alternatives: the most probable actions, the chosen one always among them, by falling probability.
        num_left_out: how many actions are not among them.
        probability_left_out: the sum of their probabilities.
        log_probability: of the chosen action; what the step adds to the score.
    """

    goals: tuple[str, ...]
    alternatives: tuple[StepAlternative, ...]
    num_left_out: int
    probability_left_out: float
    log_probability: float


@dataclass(frozen=True)
class ExplainedCandidate:
    """A candidate of a ranking, its score and the trajectory that the policy takes for it.

    Attributes:
        head: name of its first constant.
        relation: name of its predicate.
        tail: name of its second constant.
        standing: how its score compares with the positive's: ``higher``, ``tied`` or ``lower``; or ``positive``.
        score: by which it is ranked: its log-probability, less 100 where it was not proved; with another ``scoring``
            what that says.
        log_probability: sum over its steps; of several proofs together, as the beam's score says.
        proved: whether it was proved.
        steps: its steps, with the alternatives at each; with a beam, those of its best proof.
        proof: the proof as a tree, a goal a line; with a beam, the best one.
        choices: the steps as text, a line for each alternative.
        proofs: with a beam, all proofs that it has in the beam, the best first.
        embedding_score: the embedding's score; None with scoring ``proof``.
        embedding_part: the embedding's part of a ``hybrid`` score: ``weight`` times k; None with other scorings.
        proof_part: what the proof adds to a ``hybrid`` score, or the failure takes away: the two parts sum up to
            ``score``; None with other scorings.
    """

    head: str
    relation: str
    tail: str
    standing: str
    score: float
    log_probability: float
    proved: bool
    steps: tuple[ExplainedStep, ...]
    proof: str
    choices: str
    proofs: tuple[str, ...] = ()
    embedding_score: float | None = None
    embedding_part: float | None = None
    proof_part: float | None = None

    @property
    def text(self) -> str:
        """Its score and the parts of it, its proof with the alternatives at each step, and its further proofs."""
        return self._text(())

    def text_beside(self, positive: ExplainedCandidate) -> str:
        """The same, and how far each part of its score is from that of ``positive``, with hybrid scores."""
        if self.embedding_part is None or positive.embedding_part is None:
            return self.text
        assert self.proof_part is not None and positive.proof_part is not None
        total = self.score - positive.score
        embedding, proof = (
            self.embedding_part - positive.embedding_part,
            self.proof_part - positive.proof_part,
        )
        line = (
            f"{total:+.4f} to the triple: {embedding:+.4f} by the embedding, {proof:+.4f} by proof or failure"
        )
        return self._text([line])

    def _text(self, beside: Sequence[str]) -> str:
        further = [
            f"proof {number} of {len(self.proofs)}:\n{proof}"
            for number, proof in enumerate(self.proofs[1:], start=2)
        ]
        title = f"{_STANDINGS[self.standing]}, score {self.score:.4f}"
        if self.embedding_part is not None:
            what = "proof" if self.proved else "failure"
            title += f", {self.embedding_part:.4f} by the embedding and {self.proof_part:.4f} by {what}"
        if self.embedding_score is not None and self.embedding_part is None:
            return f"{title} by the embedding: {self.relation}({self.head}, {self.tail})"
        return "\n".join([f"{title}:", *beside, self.proof, self.choices, *further])


@dataclass(frozen=True)
class RankExplanation:
    """Why a triple has its rank on one side.

    Attributes:
        ranking: the triple's ranks, as ``evaluate`` gives them.
        positive: the triple itself.
        ahead: the first of the corruptions that score higher, the highest score first, and after all of these, of those
            that score as much.
        also: the corruptions that were asked for besides.
        num_higher: how many corruptions score higher, shown or not.
        num_tied: how many score as much.
        dataset: name of the dataset.
        policy: name of the policy.
        engine: name of the engine that ranked.
        beam: number of trajectories of a candidate.
        beam_score: how several proofs made a score.
        scoring: what the scores are, as in :class:`proofrank.EvaluationReport`.
    """

    ranking: TripleRanking
    positive: ExplainedCandidate
    ahead: tuple[ExplainedCandidate, ...]
    also: tuple[ExplainedCandidate, ...]
    num_higher: int
    num_tied: int
    dataset: str
    policy: str
    engine: str
    beam: int = 1
    beam_score: str = "max"
    scoring: Mapping[str, Any] = field(default_factory=lambda: PROOF_SCORING)

    @property
    def text(self) -> str:
        """All of it as text: the ranks, and for each candidate its proof and the alternatives at each step."""
        ranking = self.ranking
        left_out = self.num_higher + self.num_tied - len(self.ahead)
        lines = [
            f"{ranking.relation}({ranking.head}, {ranking.tail}), side {ranking.side}: rank {ranking.rank:g} of "
            f"{ranking.num_candidates}; {self.num_higher} score higher, {self.num_tied} score as much"
        ]
        lines += ["", self.positive.text]
        for candidate in (*self.ahead, *self.also):
            lines += ["", candidate.text_beside(self.positive)]
        if left_out:
            lines += ["", f"{left_out} more that score higher or as much are not shown"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it as ``proofrank why --json`` writes it."""
        return {**dataclasses.asdict(self), "scoring": dict(self.scoring)}


def why(
    dataset: Dataset,
    policy: Policy,
    triple: NamedTriple,
    *,
    side: str = "tail",
    corruptions: int | Literal["all"] = 50,
    first: int | None = 5,
    alternatives: int | None = 5,
    also: Sequence[str] = (),
    candidates: Sequence[str] | None = None,
    filtered: bool = True,
    ties: str = "realistic",
    seed: int = 0,
    engine: str = "auto",
    device: str | None = None,
    prover: Mapping[str, int | bool] | None = None,
    pruning: str = "exact",
    beam: int = 1,
    beam_score: str = "max",
    protocol: str | None = None,
    candidates_from: str | Path = "domains",
    negatives: str | Path | None = None,
    scoring: str = "proof",
    embedding: EmbeddingSource | None = None,
    hybrid: HybridSource | None = None,
) -> RankExplanation:
    """Says why a triple has its rank: its proof, and those of the corruptions that score higher or as much.

    The rank is that of :func:`proofrank.evaluate` with the same options.

    Args:
        dataset: the graph.
        policy: the policy; it must fit the graph.
        triple: the names (head, relation, tail).
        side: the constant to replace: ``head`` or ``tail``.
        corruptions: number of corruptions, or ``"all"``.
        first: how many of the corruptions that score higher or as much are explained; None for all.
        alternatives: how many actions of each step are shown at most, the one taken included; None for all.
        also: names of constants whose corruptions are explained besides, wherever they rank.
        candidates: names of constants to put in the place of the side's constant, instead of drawn corruptions; with
            ``filtered``, those that make a known triple are left out.
        filtered: whether corruptions that are known triples are left out.
        ties: the rank that counts among equal scores.
        seed: seed of the draw of corruptions and of random ties.
        engine: name of the engine; ``auto`` takes the one that fits the device.
        device: where to compute, as torch names it; CUDA where there is one by default.
        prover: prover settings that differ from those the policy was trained under.
        pruning: what may be left out: ``none``, ``exact`` or ``ranks``; the answer is the same with each.
        beam: number of trajectories of a candidate, whose proofs are all shown; 1 is the greedy one alone.
        beam_score: how several proofs of a candidate make its score: ``max``, ``logsumexp`` or ``noisy-or``.
        protocol: name of a protocol, as for ``evaluate``; but not ``deepprooflog``, by which what a query is ranked
            against depends on its place in an evaluation.
        candidates_from: where candidates come from, as for ``evaluate``.
        negatives: file of fixed negatives, as for ``evaluate``.
        scoring: what a candidate's score is, as for ``evaluate``: with ``hybrid`` each candidate has the parts of its
            score, with ``embedding`` nothing is proved.
        embedding: as for ``evaluate``.
        hybrid: as for ``evaluate``.

    Raises:
        UnknownNameError: a name is unknown; the nearest known names are in the error.
        RankingError: an option is wrong, or a name in ``also`` makes no corruption of this query.
        DatasetError: a file of candidates or negatives is not as expected; with the line.
        PolicyError: the policy does not fit the graph.
        EvaluationError: the triple cannot be evaluated exactly, or a setting is wrong.
        EmbeddingError: the embedding cannot be read, or lacks a name of the graph.
    """
    check_loaded(dataset, policy)
    number_of(corruptions)
    rules = settled(
        protocol,
        corruptions=corruptions,
        filtered=filtered,
        ties=ties,
        candidates_from=str(candidates_from),
    )
    searched = beam_of(beam, beam_score)
    settings = settings_for(policy, prover)
    return explain_rank(
        lambda: create_evaluator(engine, dataset, policy, settings, device=device, beam=searched),
        dataset,
        policy,
        settings,
        triple,
        side=side,
        rules=rules,
        candidates=candidates,
        negatives=None if negatives is None else Path(negatives),
        first=first,
        alternatives=alternatives,
        also=also,
        seed=seed,
        pruning=pruning,
        beam=searched,
        scoring=scoring_of(scoring, embedding, hybrid, dataset, (), device, policy, searched),
    )


def explain_rank(
    make_evaluator: Callable[[], Evaluator],
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    triple: NamedTriple,
    *,
    side: str,
    rules: RankingRules,
    candidates: Sequence[str] | None,
    negatives: Path | None,
    first: int | None,
    alternatives: int | None,
    also: Sequence[str],
    seed: int,
    pruning: str,
    beam: Beam,
    cache_folder: Path | None = None,
    scoring: Scoring | None = None,
) -> RankExplanation:
    """What :func:`why` gives, by an evaluator of the caller's; the command takes this way.

    Args:
        make_evaluator: makes the evaluator that ranks, once names and options are known to be right; not called where
            nothing is proved.
        dataset: the graph.
        policy: the policy.
        settings: of the prover.
        triple: the names (head, relation, tail).
        side: as for ``why``.
        rules: how corruptions are chosen and ties are broken.
        candidates: as for ``why``.
        negatives: as for ``why``.
        first: as for ``why``.
        alternatives: as for ``why``.
        also: as for ``why``.
        seed: as for ``why``.
        pruning: as for ``why``.
        beam: that of the evaluator.
        cache_folder: where least models are kept; None for the user's cache.
        scoring: what scores beside or instead of proofs; None for proofs alone.

    Raises:
        ProofrankError: as for ``why``.
    """
    proves = scoring is None or scoring.kind != "embedding"
    if not proves and beam.width > 1:
        raise RankingError(
            f"scoring is 'embedding'; with a beam of {beam.width} expected 'proof' or 'hybrid'"
        )
    if rules.ties not in TIE_POLICIES:
        raise RankingError(f"ties is {rules.ties!r}; expected one of {', '.join(TIE_POLICIES)}")
    query = _query(dataset, triple, side, rules, candidates, negatives, seed)
    others = [dataset.vocabulary.constant_index(name) for name in also]
    if scoring is not None:
        scoring.scorer.check([query.triple])
    evaluator = make_evaluator() if proves else None
    reasons = rank_reasons(
        evaluator,
        ReferenceEvaluator(dataset, policy, settings),
        dataset,
        query,
        first=first,
        alternatives=alternatives,
        also=others,
        seed=seed,
        pruning=pruning_of(pruning if proves else "none", dataset, cache_folder or default_cache_folder()),
        beam=beam,
        is_own=candidates is not None,
        scoring=scoring,
    )
    return RankExplanation(
        ranking=triple_ranking(reasons.ranked, dataset, rules.ties),
        positive=named_candidate(reasons.positive, dataset),
        ahead=tuple(named_candidate(candidate, dataset) for candidate in reasons.ahead),
        also=tuple(named_candidate(candidate, dataset) for candidate in reasons.also),
        num_higher=reasons.num_higher,
        num_tied=reasons.num_tied,
        dataset=dataset.name,
        policy=policy.name,
        engine=NO_ENGINE if evaluator is None else evaluator.engine,
        beam=beam.width,
        beam_score=beam.score,
        scoring=PROOF_SCORING if scoring is None else scoring.to_dict(),
    )


def _query(
    dataset: Dataset,
    triple: NamedTriple,
    side: str,
    rules: RankingRules,
    candidates: Sequence[str] | None,
    negatives: Path | None,
    seed: int,
) -> Query:
    """The query whose rank is explained.

    Raises:
        ProofrankError: as for :func:`why`.
    """
    if side not in SIDES:
        raise RankingError(
            f"side is {side!r}; expected {' or '.join(SIDES)}: one ranking is explained at a time"
        )
    check_protocol_of_one(rules)
    positive = triple_by_index(dataset, triple)
    (on_side,) = sides_of(side)
    if candidates is None:
        # OGB ranks both sides, and each of them apart.
        on_sides = SIDES if rules.protocol == "ogb" else (on_side,)
        corruptor = corruptor_of(rules, dataset, seed, [positive], [on_sides], negatives)
        return Query(0, positive, on_side, corruptor.constants(positive, on_side))
    if rules.protocol is not None and not rules.has_fixed_negatives:
        raise RankingError(f"protocol {rules.protocol!r} has no part for candidates of one's own")
    if negatives is not None:
        raise RankingError("candidates and a file of negatives both say what is ranked; expected one of them")
    constants = np.array([dataset.vocabulary.constant_index(name) for name in candidates], dtype=np.int64)
    if not constants.size:
        raise RankingError("candidates is empty; expected at least one name")
    if len(set(candidates)) < len(candidates):
        twice = next(name for name in candidates if candidates.count(name) > 1)
        raise RankingError(f"candidates has {twice!r} for the second time")
    corruptor = Corruptor(dataset, number=None, is_filtered=rules.filtered, seed=seed)
    return Query(0, positive, on_side, corruptor.among(positive, on_side, constants))


def named_candidate(explained: ExplainedOutcome, dataset: Dataset) -> ExplainedCandidate:
    """A candidate under its names."""
    head, relation, tail = dataset.names(explained.triple)
    return ExplainedCandidate(
        head=head,
        relation=relation,
        tail=tail,
        standing=explained.standing,
        score=explained.score,
        log_probability=explained.outcome.log_probability,
        proved=explained.outcome.success,
        steps=tuple(_named_step(step, dataset) for step in explained.steps),
        proof="" if explained.explanation is None else render_proof(explained.explanation, dataset),
        choices=render_choices(explained.steps, dataset),
        proofs=tuple(render_proof(proof, dataset) for proof in explained.proofs),
        embedding_score=explained.parts.embedding_score,
        embedding_part=explained.parts.embedding_part,
        proof_part=explained.parts.proof_part,
    )


def _named_step(step: StepChoices, dataset: Dataset) -> ExplainedStep:
    return ExplainedStep(
        goals=goal_texts(step.state, dataset),
        alternatives=tuple(
            StepAlternative(
                action.how, goal_texts(action.state, dataset), action.probability, action.is_chosen
            )
            for action in step.shown
        ),
        num_left_out=step.num_left_out,
        probability_left_out=step.probability_left_out,
        log_probability=step.log_probability,
    )
