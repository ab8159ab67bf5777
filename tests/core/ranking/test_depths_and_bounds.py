"""Reports by depth, and the highest MRR of any policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import load_dataset
from proofrank.core.provability import compute_least_model, immediate_model
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.ranking import (
    Corruptor,
    aggregate,
    corrupted_queries,
    depth_order,
    highest_mrr,
    known_depths,
    rank_queries,
)
from proofrank.core.ranking.corruptions import SIDES
from tests.helpers.cases import Case, cases
from tests.helpers.datasets import DatasetMaker, write_dataset
from tests.helpers.policies import make_policy, without_choice


def test_names_of_depths_come_from_the_file_and_the_model(tmp_path: Path) -> None:
    test = ["v(a,b).", "v(b,a).", "v(a,c).", "p(c,c).", "v(c,c)."]
    write_dataset(
        tmp_path, ["p(a,b).", "p(b,c)."], ["p(X,Y) -> v(X,Y)", "p(X,Z), v(Z,Y) -> v(X,Y)"], test=test
    )
    dataset = load_dataset(tmp_path)
    model = compute_least_model(dataset)
    triples = dataset.splits["test"]
    assert known_depths(dataset, triples, model) is None
    (tmp_path / "test_depths.txt").write_text("v(a,b) 1\nv(b,a) -1\nv(a,c) -1\np(c,c) -1\n")

    assert known_depths(dataset, triples, model) == [
        "1",
        "unprovable",
        "no proof found",
        "unprovable",
        "not listed",
    ]
    assert known_depths(dataset, triples, model, ["valid"]) is None


def test_depths_are_sorted_by_number() -> None:
    names = ["unprovable", "10", "2", "more than 7", "1"]

    assert sorted(names, key=depth_order) == ["1", "2", "10", "more than 7", "unprovable"]


def test_immediate_proofs_are_those_of_one_step_whatever_the_policy(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(
        ["p(a,b).", "p(b,c).", "q(b,a).", "q(c,c)."],
        ["p(X,Y), q(Y,X) -> v(X,Y)", "p(X,Z), p(Z,Y) -> v(X,Y)", "p(X,Y) -> w(X,a)"],
    )
    model = immediate_model(dataset)
    evaluator = ReferenceEvaluator(dataset, make_policy(dataset, 1), ProverSettings())
    constants = range(1, dataset.vocabulary.num_constants + 1)
    triples = [
        dataset.triple(dataset.vocabulary.argument_name(head), name, dataset.vocabulary.argument_name(tail))
        for name in "pqvw"
        for head in constants
        for tail in constants
    ]

    found = model.contains(triples)

    at_once = [evaluator.prove(Candidate(triple, is_positive=False)) for triple in triples]
    assert found.tolist() == [outcome.success and outcome.steps == 1 for outcome in at_once]
    assert 4 < found.sum() < len(triples)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(case=cases, has_choice=st.booleans())
def test_no_policy_has_a_higher_mrr(case: Case, has_choice: bool, make_dataset: DatasetMaker) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0)
    evaluator = ReferenceEvaluator(dataset, policy if has_choice else without_choice(policy), case.settings)
    triples = [candidate.triple for candidate in case.candidates(dataset)]
    corruptor = Corruptor(dataset, is_filtered=False)
    may_be_proved = compute_least_model(dataset).contains(triples).tolist()

    bounds = highest_mrr(triples, may_be_proved, SIDES, corruptor, immediate_model(dataset))

    ranked = rank_queries(evaluator, corrupted_queries(triples, SIDES, corruptor))
    assert aggregate(ranked).mrr <= bounds.any_policy + 1e-12
    assert bounds.without_luck <= bounds.any_policy <= 1


def test_a_predicate_without_rules_leaves_nothing_to_a_policy(make_dataset: DatasetMaker) -> None:
    dataset = make_dataset(["p(a,b).", "p(b,c).", "q(c,d)."], ["q(X,Y) -> r(X,Y)"], test=["p(a,d)."])
    triples = dataset.splits["test"]

    bounds = highest_mrr(triples, [False], ["tail"], Corruptor(dataset), immediate_model(dataset))

    # Beside it are p(a,a) and p(a,c), which fail with the same score; p(a,b) is known.
    assert bounds.any_policy == pytest.approx(1 / 2)
    assert bounds.provable == 0
