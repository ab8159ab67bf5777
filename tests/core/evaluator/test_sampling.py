"""Sampled trajectories: those of the reference, whatever the batch; shares near the exact probability; intervals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import EvaluatorOptions, ReferenceEvaluator
from proofrank.core.evaluator.sampling import SamplingEvaluator
from proofrank.core.graph import Triple
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.sampling import SampledShare, drawn, drawn_action, uniform
from tests.helpers.cases import Case, cases, some
from tests.helpers.datasets import DatasetMaker
from tests.helpers.examples import made_example
from tests.helpers.policies import make_policy, without_choice

KEY = Triple(1, 2, 3)
FIRST_DRAW = 0.5288545250587938


@some
@given(case=cases)
def test_trajectories_are_those_of_the_reference_with_the_same_key(
    case: Case, make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    reference = ReferenceEvaluator(dataset, policy, case.settings)
    options = EvaluatorOptions(buckets=(2,), pool_size=case.pool_size)
    evaluator = SamplingEvaluator(dataset, policy, case.settings, options, seed=case.seed)
    for candidate in case.candidates(dataset)[:3]:
        for sample, found in enumerate(evaluator.trajectories(candidate, 3)):
            choose = drawn(case.seed, candidate.triple, sample)
            expected = reference.prove(candidate, choose=choose)
            assert found.outcome.actions == expected.actions
            assert found.outcome.success == expected.success


def test_a_trajectory_depends_on_no_company_and_no_global_generator(make_dataset: DatasetMaker) -> None:
    example = made_example(make_dataset)
    arguments = (example.dataset, example.policy, example.settings)
    torch.manual_seed(1)
    together = SamplingEvaluator(*arguments).trajectories(example.candidates[0], 40)
    torch.manual_seed(2)
    other = SamplingEvaluator(*arguments, EvaluatorOptions(buckets=(3,), pool_size=7))
    other.sample(example.candidates[1:3], 5)

    assert other.trajectories(example.candidates[0], 40) == together
    assert other.trajectories(example.candidates[0], 15) == together[:15], (
        "more samples go on with the same ones"
    )
    assert SamplingEvaluator(*arguments, seed=1).trajectories(example.candidates[0], 40) != together


def test_two_states_of_one_hash_keep_the_draws(
    make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = made_example(make_dataset)
    arguments = (example.dataset, example.policy, example.settings)
    expected = SamplingEvaluator(*arguments).trajectories(example.candidates[0], 20)
    for module in ("core.prover.environment", "core.prover.beam_lanes", "core.evaluator.beams"):
        monkeypatch.setattr(f"proofrank.{module}.set_hash", lambda atoms: (atoms != 0).sum(dim=-1))

    found = SamplingEvaluator(*arguments).trajectories(example.candidates[0], 20)

    assert [one.outcome.actions for one in found] == [one.outcome.actions for one in expected]


def test_the_share_is_the_probability_of_a_proof(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(a,c).", "p(a,e).", "q(b,d).", "q(c,d)."],
        ["p(X,Z), w(Z,Y) -> v(X,Y)", "q(X,Y) -> w(X,Y)"],
    )
    settings = ProverSettings(end_proof_action=False)
    policy = without_choice(make_policy(dataset))
    candidate = Candidate(dataset.triple("a", "v", "d"), is_positive=True)

    (share,) = SamplingEvaluator(dataset, policy, settings).sample([candidate], 3000)

    # Two of three facts lead to a proof, each with the same probability.
    low, high = share.interval(0.9999)
    assert low < 2 / 3 < high
    assert high - low < 0.08


def test_the_interval_is_wilsons() -> None:
    # Brown, Cai and DasGupta (2001) give the formula; the values are those of R's prop.test without correction.
    low, high = SampledShare(10, 8).interval()
    assert (low, high) == (pytest.approx(0.4901625, abs=1e-7), pytest.approx(0.9433178, abs=1e-7))
    assert SampledShare(10, 8).interval(1 - 2**-53) == pytest.approx((0.1, 1.0), abs=0.12)
    assert SampledShare(50, 0).interval()[0] == 0.0
    assert SampledShare(50, 0).interval()[1] == pytest.approx(0.0713476, abs=1e-7)
    assert SampledShare(50, 50).interval()[1] == 1.0
    with pytest.raises(EvaluationError, match=r"confidence is 1\.5"):
        SampledShare(50, 5).interval(1.5)


def test_draws_are_uniform_and_fixed_for_ever() -> None:
    draws = [uniform(0, KEY, sample, 0) for sample in range(4000)]

    assert uniform(0, KEY, 0, 0) == FIRST_DRAW
    assert min(draws) >= 0.0 and max(draws) < 1.0
    counts = torch.histc(torch.tensor(draws), 10, 0.0, 1.0)
    assert float(((counts - 400) ** 2 / 400).sum()) < 27.9, "chi-squared, 9 degrees, one in a thousand"
    others = {
        uniform(*key) for key in ((1, KEY, 0, 0), (0, KEY, 1, 0), (0, KEY, 0, 1), (0, Triple(1, 3, 2), 0, 0))
    }
    assert len(others | {FIRST_DRAW}) == 5


def test_an_action_without_probability_is_never_drawn() -> None:
    almost_one = 1 - 2.0**-53

    assert drawn_action([math.log(0.3)] * 3 + [-math.inf], almost_one) == 2
    assert drawn_action([-math.inf, 0.0], 0.0) == 1


@pytest.mark.parametrize(("number", "message"), [(0, "samples is 0"), (10**7, "samples is 10000000")])
def test_a_number_out_of_range_is_refused(number: int, message: str, make_dataset: DatasetMaker) -> None:
    example = made_example(make_dataset)
    evaluator = SamplingEvaluator(example.dataset, example.policy, example.settings)
    with pytest.raises(EvaluationError, match=message):
        evaluator.sample(example.candidates[:1], number)


def test_the_function_names_triples_and_gives_their_shares() -> None:
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    names = [dataset.names(triple) for triple in dataset.splits["test"][:3]]

    found = proofrank.sample(dataset, policy, names, samples=40, seed=7)

    assert [(one.head, one.relation, one.tail) for one in found] == names
    assert all(one.low <= one.share <= one.high and one.share == one.proved / 40 for one in found)
    assert proofrank.sample(dataset, policy, names[1:2], samples=40, seed=7) == found[1:2]
    with pytest.raises(EvaluationError, match="confidence is 95"):
        proofrank.sample(dataset, policy, names, confidence=95)
