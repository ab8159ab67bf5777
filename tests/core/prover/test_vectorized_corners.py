"""Rare cases for random graphs: hubs whose proof is the last fact, colliding hashes, endless chains."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from proofrank.core.evaluator import ReferenceEvaluator, compiled
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.slots import Submitted
from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.state_sets import set_hash
from proofrank.core.prover.tables import GraphTables
from tests.helpers.buffers import least_capacities, use_least_capacities, use_static_shapes
from tests.helpers.cases import Case, cases, check
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.policies import make_policy

SPOKES = 3000
LAST = f"c{SPOKES - 1:04d}"

HUB_RULES = (
    "bound_first(X,Y) :- hub(X,V), gate(V,Y).",
    "bound_second(X,Y) :- hub(V,Y), gate(X,V).",
    "free(X,Y) :- pair(V,W), gate(V,W).",
    "loop(X,Y) :- pair(V,V), gate(V,Y), gate(X,V).",
    "shut(X,Y) :- hub(X,V), gate(V,V).",
    "linked(X,Y) :- hub(X,V), gate(V,W), gate(W,Y).",
    "hub(X,Y) :- hub(X,V), gate(V,Y).",
)
"""Rules whose goals cover each choice of free arguments; the gates after them are open only for the last fact."""

GATES = (
    f"gate({LAST},b).",  # bound_first and loop: V is the last spoke of the hub a
    f"gate(a,{LAST}).",  # bound_second and loop
    "gate(z0,z1).",  # free: the last pair of all
    f"gate({LAST},m).",  # the positive hub(a,m): only through the last spoke
)


@pytest.fixture(scope="module")
def hub(make_dataset: DatasetMaker) -> Dataset:
    """3,000 facts for each form of goal, of which only the last in order leads to a proof at once."""
    spokes = [f"c{number:04d}" for number in range(SPOKES)]
    facts = [
        *(f"hub(a,{spoke})." for spoke in spokes),
        *(f"hub({spoke},b)." for spoke in spokes),
        *(f"pair({spoke},{spoke})." for spoke in spokes),
        "pair(z0,z1).",
        "hub(a,m).",
        *GATES,
    ]
    return make_dataset(facts, HUB_RULES)


def some_checks(
    num_lanes: int, tables: GraphTables, settings: ProverSettings, *_: object, **__: object
) -> Capacities:
    """Returns room for a fraction of the facts that one lane must check, so that it takes several ticks."""
    return dataclasses.replace(least_capacities(num_lanes, tables, settings), num_checks=701)


@pytest.mark.parametrize("padding_states", [2, 8, 120])
@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
@pytest.mark.parametrize("is_split", [True, False], ids=["over-many-ticks", "in-one-tick"])
def test_the_only_proof_by_a_fact_is_found_though_it_is_the_last_of_a_hub(
    hub: Dataset, padding_states: int, is_trimming: bool, is_split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_trimming:
        use_static_shapes(monkeypatch)
    if is_split:
        monkeypatch.setattr(compiled, "choose_capacities", some_checks)
    prover_settings = ProverSettings(padding_states=padding_states, max_depth=3, end_proof_action=False)
    policy = make_policy(hub)
    proved = [
        Candidate(hub.triple("a", name, "b"), is_positive=False)
        for name in ("bound_first", "bound_second", "free", "loop")
    ]
    others = [Candidate(hub.triple("a", name, "b"), is_positive=False) for name in ("shut", "linked")] + [
        Candidate(hub.triple("a", "hub", "m"), is_positive=True)
    ]
    evaluator = CompiledEvaluator(hub, policy, prover_settings, EvaluatorOptions(buckets=(4,)))

    outcomes = evaluator.evaluate([*proved, *others])

    assert [(outcome.success, outcome.steps) for outcome in outcomes[:4]] == [(True, 2)] * 4
    assert_same(outcomes, ReferenceEvaluator(hub, policy, prover_settings).evaluate([*proved, *others]))
    if padding_states == 8:
        assert evaluator.work.facts_checked > 4 * (SPOKES - 50)


@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
@pytest.mark.parametrize("number", [0, 5, SPOKES - 1])
def test_a_positive_is_not_used_as_the_one_fact_that_would_prove_it(
    make_dataset: DatasetMaker, number: int, is_trimming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_trimming:
        use_static_shapes(monkeypatch)
    spokes = [f"c{index:04d}" for index in range(SPOKES)]
    dataset = make_dataset(
        [*(f"hub(a,{spoke})." for spoke in spokes), f"gate({spokes[number]},{spokes[number]})."],
        ["hub(X,Y) :- hub(X,V), gate(V,Y)."],
    )
    prover_settings = ProverSettings(padding_states=4, max_depth=2, end_proof_action=False)
    policy = make_policy(dataset)
    triple = dataset.triple("a", "hub", spokes[number])
    candidates = [Candidate(triple, is_positive=True), Candidate(triple, is_positive=False)]

    outcomes = CompiledEvaluator(dataset, policy, prover_settings, EvaluatorOptions(buckets=(2,))).evaluate(
        candidates
    )

    assert [outcome.success for outcome in outcomes] == [False, True]
    assert_same(outcomes, ReferenceEvaluator(dataset, policy, prover_settings).evaluate(candidates))


def no_hash(atoms: Tensor) -> Tensor:
    """Returns the same hash for every state."""
    return torch.zeros(atoms.shape[:-1], dtype=torch.int64, device=atoms.device)


def one_bit_hash(atoms: Tensor) -> Tensor:
    """Returns the same hash for about half of the states."""
    return set_hash(atoms) & 1


few = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("bad_hash", [no_hash, one_bit_hash])
@pytest.mark.parametrize("sample", [False, True], ids=["freely", "along-sampled-actions"])
@few
@given(case=cases)
def test_states_with_one_hash_are_told_apart(
    case: Case, make_dataset: DatasetMaker, bad_hash: object, sample: bool
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("proofrank.core.prover.environment.set_hash", bad_hash)

        check(case, make_dataset, is_trimming=True, is_least=False, sample=sample)


def test_a_misleading_hash_sends_the_candidate_to_the_reference(
    make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofrank.core.prover.environment.set_hash", no_hash)
    proved_again: list[Candidate] = []
    prove_again = CompiledEvaluator._prove_again

    def spy(self: CompiledEvaluator, submitted: Submitted) -> Outcome | Exception:
        proved_again.append(submitted.candidate)
        return prove_again(self, submitted)

    monkeypatch.setattr(CompiledEvaluator, "_prove_again", spy)
    dataset = make_dataset(
        ["f(a,b).", "f(b,c).", "f(c,d).", "p(a,b)."], ["p(X,Y) :- f(X,Z), p(Z,Y).", "p(X,Y) :- f(X,Y)."]
    )
    prover_settings = ProverSettings(end_proof_action=False, max_depth=6)
    policy = make_policy(dataset)
    candidates = [Candidate(dataset.triple("a", "p", "d"), is_positive=False)]

    outcomes = CompiledEvaluator(dataset, policy, prover_settings).evaluate(candidates)

    assert proved_again == candidates
    assert_same(outcomes, ReferenceEvaluator(dataset, policy, prover_settings).evaluate(candidates))


@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
@pytest.mark.parametrize("end_proof_action", [True, False])
def test_an_endless_chain_of_single_actions_ends_in_failure_as_in_the_reference(
    make_dataset: DatasetMaker, end_proof_action: bool, is_trimming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_trimming:
        use_static_shapes(monkeypatch)
    use_least_capacities(monkeypatch)
    dataset = make_dataset(
        ["f(a,b).", "f(a,c).", "f(b,b)."],
        [
            "turn(X,Y) :- back(Y,X).",
            "back(X,Y) :- turn(X,Y).",
            "late(X,Y) :- f(X,Z), turn(Z,Y).",
            "late(X,Y) :- turn(X,Y).",
            "grow(X,Y) :- grow(X,Z), grow(Z,Y).",
        ],
    )
    prover_settings = ProverSettings(
        padding_atoms=3,
        padding_states=4,
        max_depth=4,
        memory_pruning=False,
        end_proof_action=end_proof_action,
        skip_unary_actions=True,
    )
    policy = make_policy(dataset)
    candidates = [
        Candidate(dataset.triple(first, name, second), is_positive=False)
        for name in ("turn", "late", "grow", "f")
        for first, second in (("a", "b"), ("b", "a"))
    ]

    outcomes = CompiledEvaluator(dataset, policy, prover_settings, EvaluatorOptions(buckets=(3,))).evaluate(
        candidates
    )

    assert_same(outcomes, ReferenceEvaluator(dataset, policy, prover_settings).evaluate(candidates))
    assert [(outcome.success, outcome.steps) for outcome in outcomes[:2]] == [(False, 1)] * 2


@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
def test_a_positive_among_the_goals_that_a_hubs_fact_leaves_is_not_known(
    make_dataset: DatasetMaker, is_trimming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_trimming:
        use_static_shapes(monkeypatch)
    dataset = make_dataset(
        [*(f"hub(a,c{number:04d})." for number in range(SPOKES)), f"gate({LAST},b)."],
        ["gate(X,Y) :- hub(a,V), gate(V,Y)."],
    )
    prover_settings = ProverSettings(padding_states=4, max_depth=2, end_proof_action=False)
    policy = make_policy(dataset)
    triple = dataset.triple(LAST, "gate", "b")
    candidates = [Candidate(triple, is_positive=True), Candidate(triple, is_positive=False)]

    outcomes = CompiledEvaluator(dataset, policy, prover_settings, EvaluatorOptions(buckets=(2,))).evaluate(
        candidates
    )

    assert [outcome.success for outcome in outcomes] == [False, True]
    assert_same(outcomes, ReferenceEvaluator(dataset, policy, prover_settings).evaluate(candidates))


def test_skipped_actions_are_counted_anew_for_each_candidate_of_a_lane(make_dataset: DatasetMaker) -> None:
    rules = [f"s{number}(X,Y) :- s{number + 1}(X,Y)." for number in range(14)]
    dataset = make_dataset(["f(a,b)."], [*rules, "s14(X,Y) :- f(X,Y)."])
    prover_settings = ProverSettings(skip_unary_actions=True)
    policy = make_policy(dataset)
    candidates = [Candidate(dataset.triple("a", "s0", "b"), is_positive=False)] * 3

    outcomes = CompiledEvaluator(dataset, policy, prover_settings, EvaluatorOptions(buckets=(1,))).evaluate(
        candidates
    )

    assert [(outcome.success, outcome.steps) for outcome in outcomes] == [(True, 1)] * 3
