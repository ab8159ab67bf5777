"""Why a triple has its rank: its proof, and the proofs of the corruptions that score higher or as much.

why = proofrank.why(dataset, policy, ("albania", "locatedInCR", "europe"), side="tail", corruptions="all")
print(why.ranking.rank, why.num_higher)
print(why.text)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import (
    TIE_POLICIES,
    Corruptor,
    ExplainedOutcome,
    Query,
    pruning_of,
    rank_reasons,
    sides_of,
)
from proofrank.in_process import NamedTriple, TripleRanking, number_of, triple_ranking

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
        score: its log-probability, less 100 where it was not proved.
        log_probability: sum over its steps.
        proved: whether it was proved.
        steps: its steps, with the alternatives at each.
        proof: the proof as a tree, a goal a line.
        choices: the steps as text, a line for each alternative.
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

    @property
    def text(self) -> str:
        """All of it as text: the ranks, and for each candidate its proof and the alternatives at each step."""
        ranking = self.ranking
        left_out = self.num_higher + self.num_tied - len(self.ahead)
        lines = [
            f"{ranking.relation}({ranking.head}, {ranking.tail}), side {ranking.side}: rank {ranking.rank:g} of "
            f"{ranking.num_candidates}; {self.num_higher} score higher, {self.num_tied} score as much"
        ]
        for candidate in (self.positive, *self.ahead, *self.also):
            lines += [
                "",
                f"{_STANDINGS[candidate.standing]}, score {candidate.score:.4f}:",
                candidate.proof,
                candidate.choices,
            ]
        if left_out:
            lines += ["", f"{left_out} more that score higher or as much are not shown"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it as ``proofrank why --json`` writes it."""
        return dataclasses.asdict(self)


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
    filtered: bool = True,
    ties: str = "realistic",
    seed: int = 0,
    engine: str = "auto",
    device: str | None = None,
    prover: Mapping[str, int | bool] | None = None,
    pruning: str = "exact",
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
        filtered: whether corruptions that are known triples are left out.
        ties: the rank that counts among equal scores.
        seed: seed of the draw of corruptions and of random ties.
        engine: name of the engine; ``auto`` takes the one that fits the device.
        device: where to compute, as torch names it; CUDA where there is one by default.
        prover: prover settings that differ from those the policy was trained under.
        pruning: what may be left out: ``none``, ``exact`` or ``ranks``; the answer is the same with each.

    Raises:
        UnknownNameError: a name is unknown; the nearest known names are in the error.
        RankingError: an option is wrong, or a name in ``also`` makes no corruption of this query.
        PolicyError: the policy does not fit the graph.
        EvaluationError: the triple cannot be evaluated exactly, or a setting is wrong.
    """
    settings = settings_for(policy, prover)
    return explain_rank(
        lambda: create_evaluator(engine, dataset, policy, settings, device=device),
        dataset,
        policy,
        settings,
        triple,
        side=side,
        corruptor=Corruptor(dataset, number=number_of(corruptions), is_filtered=filtered, seed=seed),
        first=first,
        alternatives=alternatives,
        also=also,
        ties=ties,
        pruning=pruning,
    )


def explain_rank(
    make_evaluator: Callable[[], Evaluator],
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    triple: NamedTriple,
    *,
    side: str,
    corruptor: Corruptor,
    first: int | None,
    alternatives: int | None,
    also: Sequence[str],
    ties: str,
    pruning: str,
    cache_folder: Path | None = None,
) -> RankExplanation:
    """What :func:`why` gives, by an evaluator of the caller's; the command takes this way.

    Args:
        make_evaluator: makes the evaluator that ranks, once names and options are known to be right.
        dataset: the graph.
        policy: the policy.
        settings: of the prover.
        triple: the names (head, relation, tail).
        side: as for ``why``.
        corruptor: draws the corruptions; its seed is also that of random ties.
        first: as for ``why``.
        alternatives: as for ``why``.
        also: as for ``why``.
        ties: as for ``why``.
        pruning: as for ``why``.
        cache_folder: where least models are kept; None for the user's cache.

    Raises:
        ProofrankError: as for ``why``.
    """
    if side not in SIDES:
        raise RankingError(
            f"side is {side!r}; expected {' or '.join(SIDES)}: one ranking is explained at a time"
        )
    if ties not in TIE_POLICIES:
        raise RankingError(f"ties is {ties!r}; expected one of {', '.join(TIE_POLICIES)}")
    positive = dataset.triple(*triple)
    (on_side,) = sides_of(side)
    query = Query(0, positive, on_side, corruptor.constants(positive, on_side))
    others = [dataset.vocabulary.constant_index(name) for name in also]
    evaluator = make_evaluator()
    reasons = rank_reasons(
        evaluator,
        ReferenceEvaluator(dataset, policy, settings),
        dataset,
        query,
        first=first,
        alternatives=alternatives,
        also=others,
        seed=corruptor.seed,
        pruning=pruning_of(pruning, dataset, cache_folder or default_cache_folder()),
    )
    return RankExplanation(
        ranking=triple_ranking(reasons.ranked, dataset, ties),
        positive=named_candidate(reasons.positive, dataset),
        ahead=tuple(named_candidate(candidate, dataset) for candidate in reasons.ahead),
        also=tuple(named_candidate(candidate, dataset) for candidate in reasons.also),
        num_higher=reasons.num_higher,
        num_tied=reasons.num_tied,
        dataset=dataset.name,
        policy=policy.name,
        engine=evaluator.engine,
    )


def named_candidate(explained: ExplainedOutcome, dataset: Dataset) -> ExplainedCandidate:
    """A candidate under its names."""
    head, relation, tail = dataset.names(explained.triple)
    return ExplainedCandidate(
        head=head,
        relation=relation,
        tail=tail,
        standing=explained.standing,
        score=explained.outcome.score,
        log_probability=explained.outcome.log_probability,
        proved=explained.outcome.success,
        steps=tuple(_named_step(step, dataset) for step in explained.steps),
        proof=render_proof(explained.explanation, dataset),
        choices=render_choices(explained.steps, dataset),
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
