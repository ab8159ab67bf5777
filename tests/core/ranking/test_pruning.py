"""Pruned evaluations give the ranks of whole ones, bit for bit, on any graph, settings and policy, in every engine."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.choices import BEAM_SCORES, BeamScore
from proofrank.core.errors import RankingError
from proofrank.core.evaluator import Evaluator, ReferenceEvaluator, create_evaluator
from proofrank.core.evaluator.beams import BeamEvaluator, BeamReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset, Triple
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.prover import Candidate, Outcomes, ProverSettings
from proofrank.core.prover.beams import Beam, combined
from proofrank.core.ranking import Pruning, PruningCounts, Query, rank_queries
from tests.helpers.cases import Case, cases, collected_cases, sizes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.policies import make_policy, without_choice
from tests.helpers.remembering import RememberingReference
from tests.helpers.whole_ranks import check

SETTINGS = ProverSettings(padding_states=8, padding_atoms=4, max_depth=6)

few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@few
@given(case=cases, has_choice=st.booleans())
def test_the_reference_gives_the_same_ranks(case: Case, has_choice: bool, make_dataset: DatasetMaker) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    evaluator = RememberingReference(dataset, policy if has_choice else without_choice(policy), case.settings)

    check(case, dataset, evaluator)


@few
@given(case=cases, has_choice=st.booleans(), num_lanes=sizes)
def test_the_vectorised_engine_gives_the_same_ranks(
    case: Case, has_choice: bool, num_lanes: int, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    options = case.options(num_lanes)

    check(
        case,
        dataset,
        CompiledEvaluator(dataset, policy if has_choice else without_choice(policy), case.settings, options),
    )


@few
@given(case=cases, has_choice=st.booleans(), width=st.integers(2, 6), score=st.sampled_from(BEAM_SCORES))
def test_beams_have_the_same_ranks(
    case: Case, has_choice: bool, width: int, score: BeamScore, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    policy = policy if has_choice else without_choice(policy)

    check(case, dataset, BeamEvaluator(dataset, policy, case.settings, Beam(width, score)))


@few
@given(case=cases, thresholds=st.lists(st.floats(-130, 0.5), min_size=1, max_size=9))
def test_engines_end_trajectories_at_the_same_step(
    case: Case, thresholds: list[float], make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    triples = [candidate.triple for candidate in case.candidates(dataset)]
    is_provable = compute_least_model(dataset).contains(triples)
    candidates = [
        Candidate(candidate.triple, candidate.is_positive, thresholds[index % len(thresholds)], bool(known))
        for index, (candidate, known) in enumerate(zip(case.candidates(dataset), is_provable, strict=True))
    ]
    expected = ReferenceEvaluator(dataset, policy, case.settings).evaluate(candidates)
    options = EvaluatorOptions(buckets=(3,), pool_size=case.pool_size)

    outcomes = CompiledEvaluator(dataset, policy, case.settings, options).evaluate(candidates)

    assert_same(outcomes, expected)
    assert outcomes.is_pruned.tolist() == expected.is_pruned.tolist()
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        assert not outcome.is_pruned or (outcome.score < candidate.threshold and not outcome.success)


@pytest.fixture(scope="module")
def chain(make_dataset: DatasetMaker) -> Dataset:
    """A chain of facts, each link of which follows by a rule as well; nothing leads back."""
    links = [f"p(n{index},n{index + 1})." for index in range(6)]
    return make_dataset(links, ["p(X,Z), p(Z,Y) -> v(X,Y)", "v(X,Z), p(Z,Y) -> v(X,Y)"], test=["v(n0,n2)."])


def evaluator_that_proves(dataset: Dataset, triple: Triple) -> ReferenceEvaluator:
    """The reference with the first random policy that proves ``triple``."""
    evaluators = (ReferenceEvaluator(dataset, make_policy(dataset, seed), SETTINGS) for seed in range(100))
    return next(found for found in evaluators if found.prove(Candidate(triple, is_positive=True)).success)


class CountingEvaluator:
    """Passes candidates on, and keeps what it was asked to prove."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.engine = evaluator.engine
        self.asked: list[Candidate] = []
        self._evaluator = evaluator

    def evaluate(self, candidates: Sequence[Candidate], **options: object) -> Outcomes:
        self.asked += candidates
        return Outcomes.of(self._evaluator.evaluate(candidates, **options))  # pyright: ignore[reportArgumentType]


def test_what_has_no_proof_is_not_asked_for_where_the_positive_is_proved(chain: Dataset) -> None:
    evaluator = CountingEvaluator(evaluator_that_proves(chain, chain.triple("n0", "v", "n2")))
    model = compute_least_model(chain)
    query = Query(0, chain.triple("n0", "v", "n2"), "tail", np.array([1, 2, 4, 5, 6, 7]))

    [ranked] = rank_queries(evaluator, [query], pruning=Pruning("exact", model))

    assert ranked.outcomes.success[0]
    others = [Triple(query.triple.predicate, query.triple.head, other) for other in query.constants.tolist()]
    num_provable = int(model.contains(others).sum())
    assert 0 < num_provable < len(others)
    assert len(evaluator.asked) == 1 + num_provable
    counts = PruningCounts.of(ranked.outcomes)
    assert (counts.evaluated, counts.unprovable) == (1 + num_provable, len(others) - num_provable)


def test_where_the_positive_is_not_proved_what_has_no_proof_is_ended_early(chain: Dataset) -> None:
    policy = make_policy(chain, 2, spread=3.0)
    evaluator = ReferenceEvaluator(chain, policy, SETTINGS)
    query = Query(0, chain.triple("n2", "v", "n0"), "tail", np.array([2, 3, 4, 5, 6, 7]))

    [ranked] = rank_queries(evaluator, [query], pruning=Pruning("ranks", compute_least_model(chain)))

    [whole] = rank_queries(evaluator, [query])
    assert not whole.outcomes.success[0]
    assert ranked.ranks == whole.ranks
    assert ranked.outcomes.steps.sum() <= whole.outcomes.steps.sum()
    assert PruningCounts.of(ranked.outcomes).unprovable == 0


@pytest.mark.parametrize("level", ["none", "all"])
def test_an_unknown_level_is_refused_by_name(level: str, chain: Dataset) -> None:
    with pytest.raises(RankingError, match=f"pruning is '{level}'; expected exact or ranks"):
        Pruning(level, compute_least_model(chain))  # pyright: ignore[reportArgumentType]


# Each lever, broken: the comparison with whole evaluations must see it.


def is_seen(case_list: list[Case], make_dataset: DatasetMaker, beam: Beam | None = None) -> bool:
    """Whether the comparison refuses any of the cases."""

    def is_refused(case: Case) -> bool:
        dataset = case.dataset(make_dataset)
        policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
        reference = RememberingReference(dataset, policy, case.settings)
        try:
            check(case, dataset, BeamReferenceEvaluator(reference, beam) if beam is not None else reference)
        except AssertionError:
            return True
        return False

    return any(map(is_refused, case_list))


@pytest.fixture(scope="module")
def some_cases() -> list[Case]:
    return collected_cases(25)


def test_a_model_that_lacks_atoms_is_seen(some_cases: list[Case], make_dataset: DatasetMaker) -> None:
    with patch.object(LeastModel, "contains", lambda self, triples: np.zeros(len(triples), dtype=bool)):
        assert is_seen(some_cases, make_dataset)


def test_a_bound_that_ends_what_may_still_win_is_seen(
    some_cases: list[Case], make_dataset: DatasetMaker
) -> None:
    def too_early(self: Candidate, log_probability: float) -> bool:
        return log_probability - 1.0 < self.threshold

    with patch.object(Candidate, "has_fallen_behind", too_early):
        assert is_seen(some_cases, make_dataset)


def test_a_bound_that_ends_ties_is_seen(some_cases: list[Case], make_dataset: DatasetMaker) -> None:
    def not_strict(self: Candidate, log_probability: float) -> bool:
        return log_probability - (0.0 if self.is_provable else 100.0) <= self.threshold

    with patch.object(Candidate, "has_fallen_behind", not_strict):
        assert is_seen(some_cases, make_dataset)


# The bound of beams, broken.

BeamBound = Callable[..., bool]
"""Takes what ``has_fallen_behind`` of beams takes."""

BEAM = Beam(4, "logsumexp")


@contextlib.contextmanager
def bound_of_beams(broken: BeamBound) -> Iterator[None]:
    with (
        patch("proofrank.core.prover.beam_reference.has_fallen_behind", broken),
        patch("proofrank.core.evaluator.beams.has_fallen_behind", broken),
    ):
        yield


def bound_by(candidate: Candidate, beam: Beam, *, proved: Sequence[float], failed: Sequence[float]) -> float:
    """The bound without its margin, of trajectories of which ``proved`` are proofs or may become some."""
    as_failure = max([*failed, *proved, -math.inf]) - 100.0
    if not candidate.is_provable or not proved:
        return as_failure
    return max(combined(proved, beam.score), as_failure)


def test_a_bound_of_beams_without_trajectories_under_way_is_seen(
    some_cases: list[Case], make_dataset: DatasetMaker
) -> None:
    def of_the_ended(candidate: Candidate, beam: Beam, *, proved, failed, open_) -> bool:
        return bound_by(candidate, beam, proved=proved, failed=failed) < candidate.threshold

    with bound_of_beams(of_the_ended):
        assert is_seen(some_cases, make_dataset, BEAM)


def test_a_bound_of_beams_without_the_proofs_found_is_seen(
    some_cases: list[Case], make_dataset: DatasetMaker
) -> None:
    def of_the_open(candidate: Candidate, beam: Beam, *, proved, failed, open_) -> bool:
        return bound_by(candidate, beam, proved=open_, failed=failed) < candidate.threshold

    with bound_of_beams(of_the_open):
        assert is_seen(some_cases, make_dataset, BEAM)


def test_a_bound_of_beams_without_failures_is_seen(make_dataset: DatasetMaker) -> None:
    """It matters where a proof is less probable than the failure of a positive that fails, less 100."""
    dataset = make_dataset(
        ["e(b,d).", "z(n,m).", "c(a,n)."],
        ["z(X,Y) -> v(X,Y)", "u(X,Y) -> v(X,Y)", "t(X,Y) -> u(X,Y)", "e(X,Y) -> t(X,Y)"],
    )
    beam = Beam(2, "logsumexp")
    settings_ = ProverSettings(padding_states=8, padding_atoms=4, max_depth=8, end_proof_action=False)
    evaluator = BeamReferenceEvaluator(ReferenceEvaluator(dataset, make_policy(dataset), settings_), beam)
    of_b = dataset.vocabulary.constant_index("b")
    # The positive v(a,d) fails either way; v(b,d) fails with probability 1, nearly, and has a proof.
    evaluator.reference.scorer = lambda state, actions: [0.0, -150.0 if state[0].head == of_b else 0.0]  # pyright: ignore[reportAttributeAccessIssue]
    query = Query(0, dataset.triple("a", "v", "d"), "head", np.array([of_b]))
    pruning = Pruning("ranks", compute_least_model(dataset))
    [whole] = rank_queries(evaluator, [query])
    assert whole.outcomes.success.tolist() == [False, True]
    assert whole.ranks.optimistic == whole.ranks.pessimistic == 1

    assert rank_queries(evaluator, [query], pruning=pruning)[0].ranks == whole.ranks

    def of_proofs(candidate: Candidate, beam: Beam, *, proved, failed, open_) -> bool:
        return combined([*proved, *open_], beam.score) < candidate.threshold

    with bound_of_beams(of_proofs):
        assert rank_queries(evaluator, [query], pruning=pruning)[0].ranks != whole.ranks


def test_a_bound_of_beams_that_ends_ties_is_seen(some_cases: list[Case], make_dataset: DatasetMaker) -> None:
    def not_strict(candidate: Candidate, beam: Beam, *, proved, failed, open_) -> bool:
        return bound_by(candidate, beam, proved=[*proved, *open_], failed=failed) <= candidate.threshold

    with bound_of_beams(not_strict):
        assert is_seen(some_cases, make_dataset, BEAM)


@pytest.fixture(scope="module")
def divided(make_dataset: DatasetMaker) -> Dataset:
    """``v(a,d)`` and ``v(b,d)`` have two proofs each, of probability 1/6, which part after two steps; the float64 sum
    of their probabilities is above that of the trajectory that they have in common.
    """
    one_of_three = ["u(X,Y) -> v(X,Y)", "z(X,Y) -> v(X,Y)", "y(X,Y) -> v(X,Y)", "t(X,Y) -> u(X,Y)"]
    one_of_two = ["w(X,Y) -> t(X,Y)", "x(X,Y) -> t(X,Y)", "e(X,Y) -> w(X,Y)", "e(X,Y) -> x(X,Y)"]
    nowhere = ["z(n,m).", "y(n,m)."]
    return make_dataset(["e(a,d).", "e(b,d).", *nowhere], [*one_of_three, *one_of_two], test=["v(a,d)."])


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_a_bound_of_beams_without_its_margin_is_seen(engine: str, divided: Dataset) -> None:
    settings_ = ProverSettings(padding_states=8, padding_atoms=4, max_depth=8, end_proof_action=False)
    policy, beam = without_choice(make_policy(divided)), Beam(6, "logsumexp")
    evaluator = create_evaluator(engine, divided, policy, settings_, device="cpu", beam=beam)
    constants = np.array([divided.vocabulary.constant_index("b")])
    query = Query(0, divided.triple("a", "v", "d"), "head", constants)
    pruning = Pruning("ranks", compute_least_model(divided))
    [whole] = rank_queries(evaluator, [query])
    assert whole.outcomes.success.all()
    assert (whole.ranks.optimistic, whole.ranks.pessimistic) == (1, 2), "the two tie"

    assert rank_queries(evaluator, [query], pruning=pruning)[0].ranks == whole.ranks

    def without_margin(candidate: Candidate, beam: Beam, *, proved, failed, open_) -> bool:
        return bound_by(candidate, beam, proved=[*proved, *open_], failed=failed) < candidate.threshold

    with bound_of_beams(without_margin):
        assert rank_queries(evaluator, [query], pruning=pruning)[0].ranks != whole.ranks
