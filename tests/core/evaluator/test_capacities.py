"""Sizes of buffers: chosen or set, enough for one lane, refused where a lane would wait for ever."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator, compiled
from proofrank.core.evaluator.capacities import (
    PerLane,
    check_capacities,
    check_countable,
    choose_capacities,
    least_capacities,
)
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.tables import GraphTables, build_tables
from tests.helpers.buffers import use_static_shapes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(padding_states=8, max_depth=5)
ENOUGH_TICKS = 60


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """A hub of 20 facts whose predicate has two rules: its goal asks for as much as any can."""
    return make_dataset(
        [f"p(hub,n{number})." for number in range(20)] + ["e(n3,end)."],
        ["v(X,Y) :- p(X,Z), e(Z,Y).", "p(X,Y) :- e(X,Y).", "p(X,Y) :- e(X,Z), p(Z,Y)."],
    )


@pytest.fixture(scope="module")
def tables(dataset: Dataset) -> GraphTables:
    """The graph as tensors."""
    return build_tables(dataset, torch.device("cpu"))


def evaluator_with(
    capacities: Capacities, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, *, is_trimming: bool
) -> CompiledEvaluator:
    """An evaluator on buffers of these sizes."""
    monkeypatch.setattr(compiled, "choose_capacities", lambda *_, **__: capacities)
    if not is_trimming:
        use_static_shapes(monkeypatch)
    policy = make_policy(dataset, spread=2.0)
    return CompiledEvaluator(
        dataset, policy, SETTINGS, EvaluatorOptions(buckets=(capacities.num_lanes,), pool_size=16)
    )


def candidates_of(dataset: Dataset) -> list[Candidate]:
    """Candidates of which the first meets the hub."""
    pairs = [("hub", "n5"), ("hub", "end"), ("n3", "end"), ("n1", "end")]
    return [Candidate(dataset.triple(head, "v", tail), is_positive=False) for head, tail in pairs]


@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
def test_the_least_sizes_are_enough_for_every_lane(
    is_trimming: bool, dataset: Dataset, tables: GraphTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = least_capacities(3, tables, SETTINGS)
    check_capacities(least, tables, SETTINGS)
    candidates = candidates_of(dataset)

    outcomes = evaluator_with(least, dataset, monkeypatch, is_trimming=is_trimming).evaluate(candidates)

    reference = ReferenceEvaluator(dataset, make_policy(dataset, spread=2.0), SETTINGS)
    assert_same(outcomes, reference.evaluate(candidates))


@pytest.mark.parametrize("name", ["num_rows", "num_checks", "num_states"])
def test_sizes_one_below_are_refused_with_what_they_must_be(name: str, tables: GraphTables) -> None:
    least = least_capacities(3, tables, SETTINGS)
    number = getattr(least, name)

    with pytest.raises(EvaluationError) as caught:
        check_capacities(dataclasses.replace(least, **{name: number - 1}), tables, SETTINGS)

    assert f"{name} is {number - 1}, must be at least {number}" in str(caught.value)
    assert "the 2 rules of a predicate, padding_states 8 actions and one more" in str(caught.value)


def test_more_rows_than_32_bits_count_are_refused(tables: GraphTables) -> None:
    sizes = dataclasses.replace(least_capacities(3, tables, SETTINGS), num_rows=2**31)

    with pytest.raises(
        EvaluationError, match="has 2147483648 rows; expected at most 2147483647: use fewer lanes"
    ):
        check_countable(sizes)
    check_countable(dataclasses.replace(sizes, num_rows=2**31 - 1))


def test_a_bucket_without_lanes_is_refused(tables: GraphTables) -> None:
    with pytest.raises(EvaluationError, match="num_lanes is 0, must be at least 1"):
        check_capacities(least_capacities(0, tables, SETTINGS), tables, SETTINGS)
    with pytest.raises(EvaluationError, match="a bucket of 0 lanes"):
        choose_capacities(0, tables, SETTINGS)


def test_with_one_row_less_a_lane_does_wait_for_ever(
    dataset: Dataset, tables: GraphTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = least_capacities(1, tables, SETTINGS)
    narrow = dataclasses.replace(least, num_rows=least.num_rows - 1)
    monkeypatch.setattr(compiled, "check_capacities", lambda *_: None, raising=False)
    evaluator = evaluator_with(narrow, dataset, monkeypatch, is_trimming=True)

    evaluator.submit(candidates_of(dataset)[:1])
    evaluator.advance(ENOUGH_TICKS)

    assert evaluator.collect() == []


@pytest.mark.parametrize("num_lanes", [1, 3, 64, 512])
@pytest.mark.parametrize(
    "per_lane",
    [PerLane(), PerLane(rows=1, checks=1, states=1), PerLane(rows=200, checks=7, states=100)],
    ids=["chosen", "least", "large"],
)
def test_what_is_chosen_or_set_is_enough_and_made_of_whole_chunks(
    num_lanes: int, per_lane: PerLane, tables: GraphTables
) -> None:
    capacities = choose_capacities(num_lanes, tables, SETTINGS, per_lane)

    check_capacities(capacities, tables, SETTINGS)
    assert capacities.num_lanes == num_lanes
    assert capacities.num_states % CHUNK_ROWS == 0
    assert capacities.num_rows >= num_lanes * (per_lane.rows or 1)
    assert capacities.num_checks >= num_lanes * (per_lane.checks or 1)
    assert capacities.num_states >= num_lanes * (per_lane.states or 1)


def test_a_size_that_is_set_is_that_of_a_bucket_of_many_lanes(tables: GraphTables) -> None:
    capacities = choose_capacities(512, tables, SETTINGS, PerLane(rows=9, checks=5, states=2))

    assert capacities == Capacities(num_lanes=512, num_rows=512 * 9, num_checks=512 * 5, num_states=1024)


@pytest.mark.parametrize("name", ["rows", "checks", "states"])
@pytest.mark.parametrize("number", [0, -3, 1.5, True])
def test_numbers_that_are_no_size_are_refused_by_name(name: str, number: Any) -> None:
    with pytest.raises(EvaluationError, match=f"{name} per lane is {number!r}; expected a whole number, 1"):
        PerLane(**{name: number})
