"""The vectorised engine of beams against their reference, and against the greedy engine to the bit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofrank.core.choices import BEAM_SCORES, BeamScore
from proofrank.core.errors import EvaluationError, MemoryShortError
from proofrank.core.evaluator import CompiledEvaluator, EvaluatorOptions, ReferenceEvaluator
from proofrank.core.evaluator import beams as beams_module
from proofrank.core.evaluator.beams import BeamEvaluator, BeamReferenceEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.provability import compute_least_model
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.prover.beams import Beam, BeamOutcome
from tests.helpers.buffers import least_capacities
from tests.helpers.cases import Case, cases, many, some
from tests.helpers.datasets import DatasetMaker
from tests.helpers.examples import Example, family_example, made_example
from tests.helpers.paths import make_paths
from tests.helpers.policies import make_policy, with_nan, without_choice

widths = st.sampled_from((1, 2, 3, 5, 8))
scores = st.sampled_from(BEAM_SCORES)


def assert_agree(found: BeamOutcome, expected: BeamOutcome) -> None:
    """The same trajectories in the same order, log-probabilities up to rounding."""
    assert [(one.actions, one.success, one.passes_near_tie) for one in found.trajectories] == [
        (one.actions, one.success, one.passes_near_tie) for one in expected.trajectories
    ]
    tolerance = 1e-4 + 1e-6 * expected.largest_logit
    for one, other in zip(found.trajectories, expected.trajectories, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, rel=0, abs=tolerance)
    assert found.log_probability == pytest.approx(expected.log_probability, rel=0, abs=tolerance)
    assert found.largest_logit == pytest.approx(expected.largest_logit, rel=1e-4, abs=1e-4)
    assert (found.num_resolved, found.is_pruned) == (expected.num_resolved, expected.is_pruned)


def with_thresholds(
    candidates: list[Candidate], dataset: Dataset, thresholds: list[float]
) -> list[Candidate]:
    known = compute_least_model(dataset).contains([candidate.triple for candidate in candidates])
    return [
        candidate._replace(threshold=thresholds[index % len(thresholds)], is_provable=bool(known[index]))
        for index, candidate in enumerate(candidates)
    ]


@many
@given(case=cases, width=widths, score=scores, has_choice=st.booleans(), is_least=st.booleans())
def test_the_engine_gives_the_trajectories_of_the_reference(
    case: Case, width: int, score: BeamScore, has_choice: bool, is_least: bool, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    policy = policy if has_choice else without_choice(policy)
    candidates, beam = case.candidates(dataset), Beam(width, score)
    reference = BeamReferenceEvaluator(ReferenceEvaluator(dataset, policy, case.settings), beam)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if is_least:
            monkeypatch.setattr(beams_module, "choose_capacities", least_capacities)
        options = EvaluatorOptions(buckets=(3 * width,), pool_size=case.pool_size)
        outcomes = BeamEvaluator(dataset, policy, case.settings, beam, options).prove(candidates)

    for found, candidate in zip(outcomes, candidates, strict=True):
        assert_agree(found, reference.prove(candidate))


@some
@given(
    case=cases,
    width=widths,
    score=scores,
    thresholds=st.lists(st.floats(-130, 0.5), min_size=1, max_size=9),
)
def test_both_end_candidates_at_the_same_step(
    case: Case, width: int, score: BeamScore, thresholds: list[float], make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy, beam = make_policy(dataset, case.seed, spread=2.0, **case.shape), Beam(width, score)
    candidates = with_thresholds(case.candidates(dataset), dataset, thresholds)
    reference = BeamReferenceEvaluator(ReferenceEvaluator(dataset, policy, case.settings), beam)

    outcomes = BeamEvaluator(dataset, policy, case.settings, beam).prove(candidates)

    for found, candidate in zip(outcomes, candidates, strict=True):
        assert_agree(found, reference.prove(candidate))


@some
@given(case=cases, score=scores, thresholds=st.lists(st.floats(-130, 0.5), min_size=1, max_size=9))
def test_one_trajectory_has_the_bits_of_the_greedy_engine(
    case: Case, score: BeamScore, thresholds: list[float], make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    candidates = with_thresholds(case.candidates(dataset), dataset, [-math.inf, *thresholds])
    options = EvaluatorOptions(buckets=(3,), pool_size=case.pool_size)
    greedy = CompiledEvaluator(dataset, policy, case.settings, options)

    outcomes = BeamEvaluator(dataset, policy, case.settings, Beam(1, score), options).evaluate(candidates)

    assert list(outcomes) == list(greedy.evaluate(candidates))


@pytest.fixture(scope="module", params=["family", "made"])
def example(request: pytest.FixtureRequest, make_dataset: DatasetMaker) -> Example:
    if request.param == "made":
        return made_example(make_dataset)
    return family_example(*(request.getfixturevalue(name) for name in ("shared_data", "shared_truth")))


def evaluator_of(example: Example, width: int, num_lanes: int = 64) -> BeamEvaluator:
    options = EvaluatorOptions(buckets=(num_lanes,), pool_size=256)
    return BeamEvaluator(example.dataset, example.policy, example.settings, Beam(width, "logsumexp"), options)


def test_a_whole_example_agrees_and_one_trajectory_is_the_greedy_one(example: Example) -> None:
    assert list(evaluator_of(example, 1).evaluate(example.candidates)) == example.outcomes
    for width in (2, 4, 8):
        beam = Beam(width, "logsumexp")
        reference = BeamReferenceEvaluator(
            ReferenceEvaluator(example.dataset, example.policy, example.settings), beam
        )
        outcomes = evaluator_of(example, width).prove(example.candidates)
        for found, candidate in zip(outcomes[::3], example.candidates[::3], strict=True):
            assert_agree(found, reference.prove(candidate))


def test_the_bits_of_an_outcome_depend_on_no_company(example: Example) -> None:
    together = evaluator_of(example, 4).prove(example.candidates)

    assert evaluator_of(example, 4, num_lanes=8).prove(example.candidates[::-1])[::-1] == together
    for index in (0, 7, 30):
        assert evaluator_of(example, 4).prove([example.candidates[index]]) == [together[index]]


def test_eight_trajectories_resolve_at_most_eight_states_for_each_of_the_greedy_one_in_sum(
    example: Example,
) -> None:
    one, eight = evaluator_of(example, 1), evaluator_of(example, 8)
    steps = sum(found.num_resolved for found in one.prove(example.candidates))

    assert sum(found.num_resolved for found in eight.prove(example.candidates)) <= 8 * steps
    assert eight.work.rows_expanded <= 8 * one.work.rows_expanded
    assert eight.work.states_scored <= 8 * one.work.states_scored


def test_what_is_held_keeps_still_and_what_is_cancelled_never_comes(example: Example) -> None:
    evaluator = evaluator_of(example, 3)
    expected = evaluator.evaluate(example.candidates[:12])
    slots = evaluator.submit(example.candidates[:12])
    evaluator.advance(2, only=slots[:6])
    evaluator.cancel(slots[3:4])
    evaluator.cancel(slots[9:10])
    evaluator.advance(100, only=slots[6:])
    assert {slot for slot, _ in evaluator.collect()}.isdisjoint(slots[3:6])
    evaluator.advance(100)
    slots_done = evaluator.submit(example.candidates[:2])
    evaluator.advance(100)

    collected = dict(evaluator.collect())

    assert [collected[slot] for slot in slots_done] == list(expected[:2])
    assert slots[3] not in collected and slots[9] not in collected
    assert all(collected[slots[index]] == expected[index] for index in (4, 5) if slots[index] in collected)
    assert evaluator.num_in_flight == 0


def test_candidates_keep_the_policy_that_they_came_with(make_dataset: DatasetMaker) -> None:
    example = made_example(make_dataset)
    other = make_policy(example.dataset, 9, spread=2.0)
    expected = {
        policy.name: BeamEvaluator(example.dataset, policy, example.settings, Beam(3)).evaluate(
            example.candidates
        )
        for policy in (example.policy, other)
    }
    evaluator = BeamEvaluator(example.dataset, example.policy, example.settings, Beam(3))
    first = evaluator.submit(example.candidates)
    evaluator.advance(2)
    evaluator.load_policy(other)
    second = evaluator.submit(example.candidates)
    evaluator.advance(100)
    evaluator.load_policy(example.policy)
    evaluator.advance(100)

    collected = dict(evaluator.collect())

    assert [collected[slot] for slot in first] == list(expected[example.policy.name])
    assert [collected[slot] for slot in second] == list(expected[other.name])


def test_a_logit_that_is_not_finite_is_an_error_of_its_candidate(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "q(b,c)."], ["p(X,Z), v(Z,Y) -> v(X,Y)", "q(X,Y) -> v(X,Y)"])
    policy: Policy = with_nan(make_policy(dataset), dataset, "p")
    candidates = [Candidate(dataset.triple(*names), False) for names in (("a", "v", "b"), ("b", "p", "c"))]
    evaluator = BeamEvaluator(dataset, policy, ProverSettings(), Beam(4))
    evaluator.submit(candidates)
    evaluator.advance(50)

    done = dict(evaluator.collect())

    assert isinstance(done[0], EvaluationError)
    assert isinstance(done[1], Outcome)
    with pytest.raises(EvaluationError, match=r"\('a', 'v', 'b'\).*not finite"):
        evaluator.evaluate(candidates)
    assert evaluator.num_in_flight == 0


def test_recorded_actions_are_refused(make_dataset: DatasetMaker) -> None:
    example = made_example(make_dataset)
    with pytest.raises(EvaluationError, match="without a beam"):
        evaluator_of(example, 2).evaluate(example.candidates[:1], recorded_actions=[[0]])


def test_two_states_of_one_hash_are_proved_by_the_reference(
    make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = made_example(make_dataset)
    expected = evaluator_of(example, 3).prove(example.candidates)
    for module in ("environment", "beam_lanes"):
        monkeypatch.setattr(
            f"proofrank.core.prover.{module}.set_hash", lambda atoms: (atoms != 0).sum(dim=-1)
        )
    monkeypatch.setattr(beams_module, "set_hash", lambda atoms: (atoms != 0).sum(dim=-1))

    for found, other in zip(evaluator_of(example, 3).prove(example.candidates), expected, strict=True):
        assert_agree(found, other)


def test_a_beam_that_does_not_fit_into_its_share_of_memory_is_refused_with_the_figures(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_paths(make_dataset)
    policy = make_policy(dataset)
    fits = BeamEvaluator(dataset, policy, ProverSettings(), Beam(4), EvaluatorOptions(buckets=(64,)))

    with pytest.raises(
        MemoryShortError,
        match=r"a beam of 4 with 16 candidates at once needs about \d+\.\d GiB on cpu, of which 0\.0 GiB are free "
        r"within a budget of 0\.0 GiB \(1e-06 of the device\); use fewer lanes",
    ):
        BeamEvaluator(
            dataset, policy, ProverSettings(), Beam(4), EvaluatorOptions(buckets=(64,), memory_share=1e-6)
        )
    more = BeamEvaluator(dataset, policy, ProverSettings(), Beam(4), EvaluatorOptions(buckets=(640,)))
    assert more.required_bytes > 5 * fits.required_bytes
