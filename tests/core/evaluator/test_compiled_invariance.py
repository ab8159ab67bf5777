"""A candidate's outcome is the same bit for bit whatever is evaluated with it, in whichever order and bucket."""

from __future__ import annotations

import dataclasses

import pytest

from proofrank.core.evaluator import compiled
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.tables import GraphTables
from tests.helpers.buffers import least_capacities
from tests.helpers.datasets import DatasetMaker
from tests.helpers.examples import Example, family_example, made_example


@pytest.fixture(scope="module", params=["family", "made"])
def example(request: pytest.FixtureRequest, make_dataset: DatasetMaker) -> Example:
    if request.param == "made":
        return made_example(make_dataset)
    return family_example(request.getfixturevalue("shared_data"), request.getfixturevalue("shared_truth"))


def test_the_examples_take_steps_of_more_than_one_kind(example: Example) -> None:
    assert {outcome.success for outcome in example.outcomes} == {True, False}
    assert len({outcome.steps for outcome in example.outcomes}) > 2
    assert any(outcome.log_probability < 0 for outcome in example.outcomes)


def test_alone_as_in_a_batch(example: Example) -> None:
    evaluator = example.evaluator(buckets=(1, 64))

    alone = [evaluator.evaluate([candidate])[0] for candidate in example.candidates[:20]]

    assert alone == example.outcomes[:20]


def test_in_another_order(example: Example) -> None:
    outcomes = example.evaluator().evaluate(example.candidates[::-1])

    assert outcomes[::-1] == example.outcomes


@pytest.mark.parametrize("num_lanes", [1, 5, 100])
def test_in_another_bucket(example: Example, num_lanes: int) -> None:
    outcomes = example.evaluator(buckets=(num_lanes,)).evaluate(example.candidates)

    assert outcomes == example.outcomes


def test_in_a_part_of_the_batch(example: Example) -> None:
    outcomes = example.evaluator().evaluate(example.candidates[7:29])

    assert outcomes == example.outcomes[7:29]


def test_through_a_pool_smaller_than_the_batch(example: Example) -> None:
    outcomes = example.evaluator(pool_size=7).evaluate(example.candidates)

    assert outcomes == example.outcomes


def test_where_lanes_wait_for_room(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(
        num_lanes: int, tables: GraphTables, settings: ProverSettings, *_: object, **__: object
    ) -> Capacities:
        return dataclasses.replace(least_capacities(num_lanes, tables, settings), num_checks=500)

    monkeypatch.setattr(compiled, "choose_capacities", narrow)

    outcomes = example.evaluator(buckets=(16,)).evaluate(example.candidates)

    assert outcomes == example.outcomes


def test_beside_many_copies_of_another_candidate(example: Example) -> None:
    crowd = [example.candidates[-1]] * 50

    outcomes = example.evaluator().evaluate([*crowd, *example.candidates[:10]])

    assert outcomes[50:] == example.outcomes[:10]
    assert outcomes[:50] == [example.outcomes[-1]] * 50


def test_after_others_were_cancelled_on_their_way(example: Example) -> None:
    evaluator = example.evaluator(buckets=(64,))
    slots = evaluator.submit(example.candidates)
    evaluator.advance(1)
    done = dict(evaluator.collect())
    evaluator.cancel(slots[::2])

    evaluator.advance(200)

    done.update(evaluator.collect())
    assert [done[slot] for slot in slots[1::2]] == example.outcomes[1::2]
    assert evaluator.num_in_flight == 0
