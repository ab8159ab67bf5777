"""The reference of beams: its score is what all trajectories together say, and one trajectory is the greedy one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proofrank.core.choices import BEAM_SCORES, BeamScore
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.beam_reference import BeamReferenceProver
from proofrank.core.prover.beams import Beam, BeamOutcome, combined
from proofrank.core.prover.choice import log_softmax
from tests.helpers.cases import Case, cases, many, some
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy, without_choice

MOST = 64

Prove = Callable[[Candidate, Beam], BeamOutcome]


def prover_of(evaluator: ReferenceEvaluator) -> Prove:
    prover = BeamReferenceProver(evaluator.prover)
    return lambda candidate, beam: prover.prove(candidate, evaluator.scorer, beam)


def evaluator_of(case: Case, dataset: Dataset, *, has_choice: bool = True) -> ReferenceEvaluator:
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    return ReferenceEvaluator(dataset, policy if has_choice else without_choice(policy), case.settings)


def all_ends(
    evaluator: ReferenceEvaluator, candidate: Candidate
) -> list[tuple[tuple[int, ...], bool, float]]:
    """The actions of every trajectory of ``candidate``, whether it is a proof, and its log-probability.

    Of actions with the same state only the first is followed. Raises OverflowError for more than ``MOST``.
    """
    prover, ends = evaluator.prover, []
    excluded = candidate.triple if candidate.is_positive else None
    terminal = (prover.true_state, prover.false_state, prover.endf_state)

    def follow(state, next_variable, visited, taken, total) -> None:
        visited = set(visited)
        actions = prover.actions(state, next_variable, visited, excluded)
        if actions.is_stuck and taken:
            ends.append((taken, False, total))
            return
        states = actions.states
        logits = [0.0] if len(states) == 1 else evaluator.scorer(state, states)
        for index, (after, log_probability) in enumerate(zip(states, log_softmax(logits), strict=True)):
            if after in states[:index]:
                continue
            so_far, sum_so_far = (*taken, index), total + log_probability
            if after in terminal or len(so_far) == prover.settings.max_depth:
                ends.append((so_far, after == prover.true_state, sum_so_far))
            else:
                follow(after, actions.next_variable, visited, so_far, sum_so_far)
            if len(ends) > MOST:
                raise OverflowError

    first = (candidate.triple,)
    follow(first, prover.first_variable, {frozenset(first)}, (), 0.0)
    return ends


@many
@given(case=cases, score=st.sampled_from(BEAM_SCORES))
def test_one_trajectory_is_the_greedy_one_to_the_bit(
    case: Case, score: BeamScore, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    evaluator = evaluator_of(case, dataset)
    prove = prover_of(evaluator)
    is_provable = compute_least_model(dataset).contains([one.triple for one in case.candidates(dataset)])
    for candidate, known in zip(case.candidates(dataset), is_provable.tolist(), strict=True):
        for threshold in (-math.inf, -101.0, -3.0):
            asked = candidate._replace(threshold=threshold, is_provable=known)
            outcome = prove(asked, Beam(1, score))

            assert outcome.outcome == evaluator.prove(asked)
            assert outcome.num_resolved == outcome.outcome.steps or case.settings.skip_unary_actions


@many
@given(case=cases, has_choice=st.booleans())
def test_a_beam_as_wide_as_there_are_trajectories_finds_all_of_them(
    case: Case, has_choice: bool, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    evaluator = evaluator_of(case, dataset, has_choice=has_choice)
    prove = prover_of(evaluator)
    num_compared = 0
    for candidate in case.candidates(dataset):
        try:
            ends = all_ends(evaluator, candidate)
        except OverflowError:
            continue
        num_compared += 1
        outcome = prove(candidate, Beam(MOST, "logsumexp"))
        found = {(one.actions, one.success, one.log_probability) for one in outcome.trajectories}
        assert found == set(ends)
        of_proofs = [total for _, is_proof, total in ends if is_proof]
        if of_proofs:
            expected = math.log(math.fsum(map(math.exp, of_proofs))) if max(of_proofs) > -700 else None
            assert expected is None or outcome.log_probability == pytest.approx(expected, abs=1e-12)
            assert prove(candidate, Beam(MOST, "max")).log_probability == max(of_proofs)
        else:
            assert outcome.outcome.score == max(total for _, _, total in ends) - 100.0
    assume(num_compared)


@some
@given(case=cases, width=st.integers(2, 6), has_choice=st.booleans())
def test_no_trajectory_is_found_twice_and_there_are_no_more_than_asked_for(
    case: Case, width: int, has_choice: bool, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    prove = prover_of(evaluator_of(case, dataset, has_choice=has_choice))
    for candidate in case.candidates(dataset):
        outcome = prove(candidate, Beam(width))
        actions = [one.actions for one in outcome.trajectories]
        assert 1 <= len(actions) <= width
        assert len(set(actions)) == len(actions)
        assert outcome.num_resolved <= width * case.settings.max_depth
        by_score = {score: prove(candidate, Beam(width, score)).log_probability for score in BEAM_SCORES}
        assert by_score["max"] <= by_score["noisy-or"] <= by_score["logsumexp"] + 1e-12 <= 1e-12


@pytest.fixture(scope="module")
def two_ways(make_dataset: DatasetMaker) -> Dataset:
    """``v(a,d)`` has a proof by way of ``b`` and one by way of ``c``; ``e`` leads nowhere."""
    facts = ["p(a,b).", "p(a,c).", "p(a,e).", "q(b,d).", "q(c,d)."]
    rules = ["p(X,Z), w(Z,Y) -> v(X,Y)", "p(X,Z), w(Z,d) -> v(X,d)", "q(X,Y) -> w(X,Y)"]
    return make_dataset(facts, rules)


def test_each_proof_counts_once_though_two_rules_lead_to_it(two_ways: Dataset) -> None:
    policy = without_choice(make_policy(two_ways))
    evaluator = ReferenceEvaluator(two_ways, policy, ProverSettings(end_proof_action=False))
    candidate = Candidate(two_ways.triple("a", "v", "d"), is_positive=True)

    outcome = prover_of(evaluator)(candidate, Beam(8, "logsumexp"))

    # The first of two rules with one state has probability 1/2, each of three facts 1/3; what follows is certain.
    assert [one.actions for one in outcome.proofs] == [(0, 0, 0), (0, 1, 0)]
    assert [one.actions for one in outcome.trajectories if not one.success] == [(0, 2, 0, 0)]
    assert outcome.log_probability == pytest.approx(math.log(1 / 3))
    assert outcome.outcome.log_probability == outcome.outcome.score
    best = prover_of(evaluator)(candidate, Beam(8, "max"))
    assert best.log_probability == pytest.approx(math.log(1 / 6))
    # A place that has ended is not given to another trajectory.
    assert len(prover_of(evaluator)(candidate, Beam(2)).trajectories) == 2


def test_scores_of_several_proofs() -> None:
    halves = [math.log(0.5), math.log(0.25)]

    assert combined(halves, "max") == math.log(0.5)
    assert combined(halves, "logsumexp") == pytest.approx(math.log(0.75), abs=1e-15)
    assert combined(halves, "noisy-or") == pytest.approx(math.log(1 - 0.5 * 0.75), abs=1e-15)
    assert combined([math.log(0.5)] * 2, "logsumexp") <= 0.0
    for score in BEAM_SCORES:
        assert combined([-0.1], score) == -0.1, "a proof alone keeps its bits"
        assert combined([0.0, -5.0], score) == 0.0
    # So improbable that no float64 holds the probabilities.
    assert combined([-2000.0, -2000.0], "noisy-or") == pytest.approx(-2000 + math.log(2), abs=1e-9)


@pytest.mark.parametrize("width", [0, 65, -1, True, 2.0])
def test_a_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(EvaluationError, match="expected a whole number from 1 to 64"):
        Beam(width)


def test_an_unknown_score_is_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match=r"beam_score is 'logsumexpp'.*did you mean 'logsumexp'"):
        Beam(2, "logsumexpp")  # pyright: ignore[reportArgumentType]


@some
@given(
    case=cases, width=st.integers(2, 5), score=st.sampled_from(BEAM_SCORES), threshold=st.floats(-130, 0.5)
)
def test_a_pruned_beam_would_have_scored_below_the_threshold(
    case: Case, width: int, score: BeamScore, threshold: float, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    prove, beam = prover_of(evaluator_of(case, dataset)), Beam(width, score)
    is_provable = compute_least_model(dataset).contains([one.triple for one in case.candidates(dataset)])
    for candidate, known in zip(case.candidates(dataset), is_provable.tolist(), strict=True):
        whole = prove(candidate, beam)
        pruned = prove(candidate._replace(threshold=threshold, is_provable=known), beam)

        assert not pruned.is_pruned or (
            whole.outcome.score < threshold and pruned.outcome.score < threshold
        ), "it would not have fallen behind"
        assert pruned.is_pruned or dataclasses.replace(pruned, is_pruned=False) == whole
