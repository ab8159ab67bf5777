"""Each defect that could cost an evaluator its MRR is found by comparing outcomes with the reference.

The MRR need not change: most of these defects leave it the same (``docs/research/lost-mrr.md``). Therefore these tests
assert that with a defect some outcome differs from the reference's, on a few candidates, and that without one none
does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import pytest
import torch

from benchmarks.lost_mrr.defects import BATCH, DEFECTS, NONE, Defect, to_tf32
from benchmarks.lost_mrr.experiment import Task, costs, is_other, task_of_recording
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, PolicyNetwork
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from tests.helpers.datasets import SHARED, DatasetMaker

RECORDING = SHARED / "truth" / "family-seed0"

needs_family = pytest.mark.skipif(not RECORDING.is_dir(), reason=f"no recorded evaluation: {RECORDING}")

EVERY = 25
"""One in this many of the recording's candidates is proved here."""

NUM_LANES = 32
"""Fewer lanes than candidates, so that lanes take a second one."""

ON_SMALL_GRAPHS = {
    "facts-120",
    "actions-capped-early",
    "nothing-excluded",
    "excluded-for-all",
    "proof-by-rule-not-preferred",
    "visited-lists",
    "visited-renumbered",
    "visited-stale",
    "endf-first",
    "depth-less",
    "depth-more",
}
"""Defects that do not show on those candidates; each has its own graph below."""

ON_FAMILY = sorted(
    name for name, defect in DEFECTS.items() if defect.is_in_evaluator and name not in ON_SMALL_GRAPHS
)
IN_RANKING = sorted(name for name, defect in DEFECTS.items() if not defect.is_in_evaluator)


@cache
def family() -> Task:
    return task_of_recording(RECORDING)


@cache
def family_candidates() -> tuple[Candidate, ...]:
    return tuple(family().candidates[::EVERY])


@cache
def family_reference() -> tuple[Outcome, ...]:
    task = family()
    return tuple(ReferenceEvaluator(task.dataset, task.policy, task.settings).evaluate(family_candidates()))


def found_on_family(defect: Defect) -> int:
    """Returns the number of outcomes that differ from the reference's."""
    task = family()
    outcomes = defect.evaluate(
        task.dataset, task.policy, task.settings, family_candidates(), num_lanes=NUM_LANES
    )
    return num_other(family_reference(), outcomes)


def num_other(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> int:
    return sum(is_other(left, right) for left, right in zip(ours, theirs, strict=True))


@needs_family
def test_without_a_defect_no_outcome_differs() -> None:
    assert found_on_family(NONE) == 0


@needs_family
@pytest.mark.parametrize("name", ON_FAMILY)
def test_a_defect_of_the_evaluator_is_found_by_its_outcomes(name: str) -> None:
    assert found_on_family(DEFECTS[name]) > 0


@needs_family
@pytest.mark.parametrize("name", IN_RANKING)
def test_a_defect_of_scores_or_ranks_is_found_by_the_scores_or_the_mrr(name: str) -> None:
    defect, task = DEFECTS[name], family()
    recorded = [
        [
            Outcome(candidate.success, candidate.log_probability, candidate.steps, candidate.actions)
            for candidate in query.candidates
        ]
        for query in read_recording(RECORDING).queries
    ]
    # Proved corruptions, in the last places of a query and of a batch, and a tie with the positive.
    proved = Outcome(success=True, log_probability=-1.0, steps=2, actions=(0, 0))
    recorded[0][-1] = recorded[1][BATCH - 1 - len(recorded[0])] = proved
    recorded[1][1] = recorded[1][0]

    right = NONE.scores(recorded, task.settings)
    wrong = defect.scores(recorded, task.settings)

    is_ranked_otherwise = defect.mrr(task.queries, recorded, task.settings) != NONE.mrr(
        task.queries, recorded, task.settings
    )
    assert right != wrong or is_ranked_otherwise


@needs_family
def test_a_table_has_the_evaluator_without_a_defect_first_and_loses_nothing_there() -> None:
    whole = family()
    task = Task(whole.dataset, whole.policy, whole.settings, whole.queries[:2])

    right, wrong = costs(task, [DEFECTS["depth-1"]])

    assert (right.defect, right.lost, right.trajectories) == (NONE, 0.0, 0)
    assert wrong.trajectories > 0
    assert wrong.mrr == pytest.approx(right.mrr - wrong.lost)


# Defects that need a graph made for them


def policy_for(dataset: Dataset, seed: int = 0, scale: float = 1.0) -> Policy:
    """Makes a random policy; with ``scale`` 0 all of its logits are equal."""
    torch.manual_seed(seed)
    config = PolicyConfig(embedding_dim=8, hidden_dim=8, num_layers=1, max_variables=60)
    network = PolicyNetwork(config, dataset.vocabulary.num_predicates, dataset.vocabulary.num_constants)
    with torch.no_grad():
        for table in (network.embedding.predicates, network.embedding.arguments):
            table.copy_(torch.randn(table.shape))
            table[0] = 0
        network.head_output.weight.mul_(scale)
        network.head_output.bias.mul_(scale)
    network.eval().requires_grad_(False)
    return Policy("random", network, dataset.vocabulary, None, "")


def without_and_with(
    name: str, dataset: Dataset, candidates: Sequence[Candidate], policy: Policy, num_lanes: int = 16
) -> tuple[list[Outcome], list[Outcome]]:
    """Returns the outcomes of the reference, which the correct evaluator must match, and those with the defect."""
    settings = ProverSettings(max_depth=5)
    right = list(ReferenceEvaluator(dataset, policy, settings).evaluate(candidates))
    assert num_other(right, NONE.evaluate(dataset, policy, settings, candidates, num_lanes)) == 0
    return right, DEFECTS[name].evaluate(dataset, policy, settings, candidates, num_lanes)


@pytest.mark.parametrize("name", ["facts-120", "actions-capped-early"])
def test_a_proof_by_the_last_of_many_facts_is_lost_where_facts_are_capped(
    name: str, make_dataset: DatasetMaker
) -> None:
    facts = [f"q(a,x{number:03})" for number in range(130)]
    dataset = make_dataset([*facts, "r(x129,b)"], ["q(X,Z), r(Z,Y) -> p(X,Y)"])
    candidate = Candidate(dataset.triple("a", "p", "b"), is_positive=True)

    right, wrong = without_and_with(name, dataset, [candidate], policy_for(dataset, scale=0.0))

    assert (right[0].success, wrong[0].success) == (True, False)


def test_a_positive_that_may_use_itself_proves_itself(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b)", "q(a,c)"], ["q(X,Y) -> p(X,Y)"])
    candidate = Candidate(dataset.triple("a", "p", "b"), is_positive=True)

    right, wrong = without_and_with("nothing-excluded", dataset, [candidate], policy_for(dataset))

    assert (right[0].success, wrong[0].success) == (False, True)


def test_a_corruption_that_needs_the_positive_is_lost_where_that_is_excluded_for_all(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["p(a,b)", "q(b,c)"], ["p(X,Z), q(Z,Y) -> p(X,Y)"])
    positive = Candidate(dataset.triple("a", "p", "b"), is_positive=True)
    corruption = Candidate(dataset.triple("a", "p", "c"), is_positive=False)

    right, wrong = without_and_with(
        "excluded-for-all", dataset, [positive, corruption], policy_for(dataset, scale=0.0)
    )

    assert (right[1].success, wrong[1].success) == (True, False)


def test_a_visited_state_in_another_order_is_an_action_where_states_are_lists(
    make_dataset: DatasetMaker,
) -> None:
    # q, then {r, q}; resolving r gives q, r, q, which is the same set.
    dataset = make_dataset(["s(a,b)"], ["r(X,Y), q(X,Y) -> q(X,Y)", "q(X,Y), r(X,Y) -> r(X,Y)"])
    candidate = Candidate(dataset.triple("a", "q", "b"), is_positive=False)

    right, wrong = without_and_with("visited-lists", dataset, [candidate], policy_for(dataset, scale=0.0))

    assert (right[0].steps, wrong[0].steps) == (2, 5)


def test_a_visited_state_with_other_variables_is_no_action_where_their_numbers_do_not_count(
    make_dataset: DatasetMaker,
) -> None:
    # r(a,b), s(a,V0), r(a,V1), and s(a,V2), which differs from s(a,V0) only by the number.
    dataset = make_dataset(["q(a,b)"], ["s(X,Z) -> r(X,Y)", "r(X,Z) -> s(X,Y)"])
    candidate = Candidate(dataset.triple("a", "r", "b"), is_positive=False)

    right, wrong = without_and_with(
        "visited-renumbered", dataset, [candidate], policy_for(dataset, scale=0.0)
    )

    assert (right[0].steps, wrong[0].steps) == (5, 3)


def test_the_second_candidate_of_a_lane_fails_where_visited_states_are_not_cleared(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["q(a,b)"], ["s(X,Y) -> p(X,Y)", "t(X,Y) -> s(X,Y)", "q(X,Y) -> t(X,Y)"])
    candidates = [Candidate(dataset.triple("a", "p", "b"), is_positive=True)] * 2

    right, wrong = without_and_with(
        "visited-stale", dataset, candidates, policy_for(dataset, scale=0.0), num_lanes=1
    )

    assert [outcome.success for outcome in right] == [True, True]
    assert [outcome.success for outcome in wrong] == [True, False]


@pytest.mark.parametrize(("name", "steps"), [("depth-less", 4), ("depth-more", 6)])
def test_a_proof_that_never_ends_has_as_many_steps_as_the_depth(
    name: str, steps: int, make_dataset: DatasetMaker
) -> None:
    dataset = make_dataset(["q(a,b)"], ["s(X,Z) -> r(X,Y)", "r(X,Z) -> s(X,Y)"])
    candidate = Candidate(dataset.triple("a", "r", "b"), is_positive=False)

    right, wrong = without_and_with(name, dataset, [candidate], policy_for(dataset, scale=0.0))

    assert (right[0].steps, wrong[0].steps) == (5, steps)


def test_a_proof_by_a_rule_costs_log_probability_where_it_is_one_action_among_others(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["q(a,b)"], ["q(X,Y) -> p(X,Y)"])
    candidate = Candidate(dataset.triple("a", "p", "b"), is_positive=True)

    right, wrong = without_and_with(
        "proof-by-rule-not-preferred", dataset, [candidate], policy_for(dataset, scale=0.0)
    )

    assert right[0].log_probability == 0.0
    assert wrong[0].log_probability == pytest.approx(math.log(1 / 2))


def test_giving_up_wins_every_tie_where_it_comes_first(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["q(a,b)"], ["s(X,Y) -> p(X,Y)", "q(X,Y) -> s(X,Y)"])
    candidate = Candidate(dataset.triple("a", "p", "b"), is_positive=True)

    right, wrong = without_and_with("endf-first", dataset, [candidate], policy_for(dataset, scale=0.0))

    assert (right[0].success, wrong[0].success) == (True, False)


def test_tf32_keeps_ten_bits_and_rounds_ties_to_even() -> None:
    values = torch.tensor([1.0, 1.0 + 2**-10, 1.0 + 2**-11, 1.0 + 3 * 2**-11, -1.0 - 2**-12])

    assert to_tf32(values).tolist() == [1.0, 1.0 + 2**-10, 1.0, 1.0 + 2**-9, -1.0]
