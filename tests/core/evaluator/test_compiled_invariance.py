"""A candidate's outcome is the same bit for bit whatever is evaluated with it, in whichever order and bucket."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofrank.core.evaluator import compiled
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.tables import GraphTables
from tests.helpers.buffers import least_capacities
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy

NUM_CANDIDATES = 60


@dataclass(frozen=True)
class Example:
    """Something to evaluate, and its outcomes in one batch."""

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    candidates: list[Candidate]
    outcomes: list[Outcome]

    def evaluator(self, buckets: Sequence[int] = (64,), pool_size: int = 256) -> CompiledEvaluator:
        return CompiledEvaluator(
            self.dataset, self.policy, self.settings, EvaluatorOptions(buckets=buckets, pool_size=pool_size)
        )


def example_of(
    dataset: Dataset, policy: Policy, settings: ProverSettings, candidates: list[Candidate]
) -> Example:
    evaluator = CompiledEvaluator(dataset, policy, settings, EvaluatorOptions(buckets=(64,), pool_size=256))
    return Example(dataset, policy, settings, candidates, list(evaluator.evaluate(candidates)))


def family(data: Path, truth: Path) -> Example:
    """Candidates of a recording, spread over its queries."""
    recording = read_recording(truth / "family-seed0")
    dataset = load_dataset(data / recording.dataset)
    step = max(1, len(recording.candidates) // NUM_CANDIDATES)
    candidates = [
        Candidate(dataset.triple(first, predicate, second), candidate.is_positive)
        for candidate in recording.candidates[::step][:NUM_CANDIDATES]
        for predicate, first, second in (candidate.names,)
    ]
    return example_of(dataset, load_policy(recording.folder, dataset), recording.settings, candidates)


def made(make_dataset: DatasetMaker) -> Example:
    """Every pair of a graph of paths in a ring with chords."""
    names = [f"n{number}" for number in range(8)]
    facts = [
        f"edge({name},{names[(number + step) % 8]})."
        for number, name in enumerate(names)
        for step in (1, 3)
        if (number + step) % 5
    ]
    rules = ["path(X,Y) :- edge(X,Y).", "path(X,Y) :- edge(X,Z), path(Z,Y).", "path(X,Y) :- path(Y,X)."]
    dataset = make_dataset(facts, rules)
    candidates = [
        Candidate(dataset.triple(first, "path", second), is_positive=False)
        for first in names
        for second in names
    ]
    policy = make_policy(dataset, 3, spread=2.0)
    return example_of(dataset, policy, ProverSettings(max_depth=8), candidates[:NUM_CANDIDATES])


@pytest.fixture(scope="module", params=["family", "made"])
def example(request: pytest.FixtureRequest, make_dataset: DatasetMaker) -> Example:
    if request.param == "made":
        return made(make_dataset)
    return family(request.getfixturevalue("shared_data"), request.getfixturevalue("shared_truth"))


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
