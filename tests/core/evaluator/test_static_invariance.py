"""On buffers of fixed shape a candidate's outcome is the same bit for bit, whatever happens beside it.

What happens is drawn by Hypothesis: which candidates are submitted when, how often, in which company, how many ticks
lie between, and which of them are cancelled on their way. The lanes are those that the examples before left behind, so
that a candidate meets any of them. With the compiler it is slow:

    pytest -m slow tests/core/evaluator/test_static_invariance.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.tick import HalvedTick
from proofrank.core.policy import PolicyConfig, PolicyNetwork
from proofrank.core.policy.features import CHUNK_ROWS, RowFeatures
from proofrank.core.prover import Outcome
from tests.helpers.buffers import use_static_shapes
from tests.helpers.datasets import DatasetMaker
from tests.helpers.examples import Example, family_example, made_example

NUM_CANDIDATES = 30
FEW_LANES, MANY_LANES = 4, 64
ENOUGH_TICKS = 400


@dataclass(frozen=True)
class Submission:
    """Some candidates at once.

    Attributes:
        candidates: indices among those of the example; one may come several times.
        ticks: how many follow before the next submission.
        cancelled: places in ``candidates`` that are cancelled then, if they are not done.
    """

    candidates: tuple[int, ...]
    ticks: int
    cancelled: tuple[int, ...]


_index = st.integers(0, NUM_CANDIDATES - 1)
_submissions = st.builds(
    Submission,
    candidates=st.one_of(
        st.tuples(_index),
        st.lists(_index, min_size=2, max_size=20).map(tuple),
        st.builds(lambda index, number: (index,) * number, _index, st.integers(2, 20)),
    ),
    ticks=st.integers(0, 12),
    cancelled=st.lists(st.integers(0, 19), max_size=4).map(tuple),
)
loads = st.lists(_submissions, min_size=1, max_size=5)
lanes = st.sampled_from((FEW_LANES, MANY_LANES))

few, more = (
    settings(
        max_examples=number,
        deadline=None,
        # Each example costs many ticks; a failing load is short enough as it is.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow],
    )
    for number in (8, 60)
)


@dataclass(frozen=True)
class Subject:
    """An evaluator, and what it gives for each candidate when nothing else is there, in the bucket of few lanes."""

    example: Example
    evaluator: CompiledEvaluator
    alone: list[Outcome]


def subject_of(example: Example, make: Callable[[Example], CompiledEvaluator]) -> Subject:
    """The evaluator that ``make`` makes for ``example``, with the outcomes of its candidates alone."""
    evaluator = make(example)
    alone = [evaluator.evaluate([candidate])[0] for candidate in example.candidates[:NUM_CANDIDATES]]
    return Subject(example, evaluator, alone)


def static(example: Example) -> CompiledEvaluator:
    """On fixed shapes, without the compiler."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_static_shapes(monkeypatch)
        evaluator = example.evaluator(buckets=(FEW_LANES, MANY_LANES), pool_size=128)
    assert not evaluator.mode.is_trimming
    return evaluator


@pytest.fixture(scope="module", params=["family", "made"])
def subject(request: pytest.FixtureRequest, make_dataset: DatasetMaker) -> Subject:
    """Without the compiler."""
    if request.param == "made":
        return subject_of(made_example(make_dataset), static)
    data, truth = (request.getfixturevalue(name) for name in ("shared_data", "shared_truth"))
    return subject_of(family_example(data, truth), static)


@pytest.fixture(scope="module", params=["default", "separate"])
def compiled_subject(
    request: pytest.FixtureRequest,
    shared_data: Path,
    shared_truth: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Subject:
    """With the compiler."""

    def compiled(example: Example) -> CompiledEvaluator:
        evaluator = CompiledEvaluator(
            example.dataset,
            example.policy,
            example.settings,
            EvaluatorOptions(
                buckets=(FEW_LANES, MANY_LANES),
                pool_size=128,
                cache_folder=tmp_path_factory.mktemp("artifacts"),
            ),
            compile_mode=request.param,
        )
        evaluator.warm_up()
        assert evaluator.mode.compile_mode == request.param, "it went on without the compiler"
        num_states = [capacities.num_states for capacities in evaluator.capacities.values()]
        is_counting = evaluator.mode.tick is HalvedTick
        assert is_counting or len(set(num_states)) == 2, "both buckets multiply the same number of rows"
        return evaluator

    return subject_of(family_example(shared_data, shared_truth), compiled)


def outcomes_under(load: list[Submission], num_lanes: int, subject: Subject) -> list[tuple[int, Outcome]]:
    """The candidates that were not cancelled, with their outcomes."""
    evaluator = subject.evaluator
    index_of: dict[int, int] = {}
    done: list[tuple[int, Outcome]] = []

    def collect() -> None:
        for slot, outcome in evaluator.collect():
            assert isinstance(outcome, Outcome)
            done.append((index_of.pop(slot), outcome))

    for submission in load:
        slots = evaluator.submit([subject.example.candidates[index] for index in submission.candidates])
        index_of.update(zip(slots, submission.candidates, strict=True))
        evaluator.advance(submission.ticks, num_lanes)
        collect()
        gone = {slots[number] for number in submission.cancelled if number < len(slots)} & index_of.keys()
        evaluator.cancel(list(gone))
        for slot in gone:
            del index_of[slot]
    for _ in range(ENOUGH_TICKS):
        if not index_of:
            break
        evaluator.advance(4, num_lanes)
        collect()
    assert not index_of, "candidates never came to an end"
    assert evaluator.num_in_flight == 0
    return done


def assert_same_bits(load: list[Submission], num_lanes: int, subject: Subject) -> None:
    """Nothing of an outcome depends on the load."""
    for index, outcome in outcomes_under(load, num_lanes, subject):
        assert outcome == subject.alone[index], index


@few
@given(load=loads, num_lanes=lanes)
def test_fixed_shapes_give_the_same_bits_under_any_load(
    load: list[Submission], num_lanes: int, subject: Subject
) -> None:
    assert_same_bits(load, num_lanes, subject)


def test_fixed_shapes_give_the_same_bits_in_one_full_batch(subject: Subject) -> None:
    candidates = subject.example.candidates[:NUM_CANDIDATES]

    assert subject.evaluator.evaluate(candidates) == subject.alone
    assert subject.evaluator.evaluate(candidates[::-1])[::-1] == subject.alone


@pytest.mark.parametrize("num_chunks", [2, 4, 28])
def test_one_product_for_all_rows_of_a_bucket_gives_the_bits_of_whole_chunks(num_chunks: int) -> None:
    network = PolicyNetwork(PolicyConfig(max_variables=10), num_predicates=3, num_constants=3)
    features = RowFeatures(network)
    rows = torch.randn(num_chunks * CHUNK_ROWS, network.config.embedding_dim)

    with torch.inference_mode():
        whole = features.transform(rows)
        chunks = torch.cat([features.transform(chunk) for chunk in rows.split(CHUNK_ROWS)])

    assert torch.equal(whole, chunks)


@pytest.mark.slow
@more
@given(load=loads, num_lanes=lanes)
def test_a_compiled_tick_gives_the_same_bits_under_any_load(
    load: list[Submission], num_lanes: int, compiled_subject: Subject
) -> None:
    assert_same_bits(load, num_lanes, compiled_subject)
