"""The bits of a least model in the tick: they end the same trajectories as what the host knows of candidates does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator, model_bits
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.prover import Candidate, Candidates, Outcomes, ProverSettings
from proofrank.core.ranking import AllAtoms
from tests.helpers.cases import Case, cases, collected_cases
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy
from tests.helpers.whole_ranks import check

NUM_LANES = 64

few = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def evaluator_with_bits(
    dataset: Dataset,
    policy: Policy,
    prover_settings: ProverSettings,
) -> CompiledEvaluator:
    """An evaluator whose ticks are those of CUDA, with the bits of a model."""
    options = EvaluatorOptions(buckets=(NUM_LANES,), pool_size=2 * NUM_LANES, has_model_bits=True)
    return CompiledEvaluator(dataset, policy, prover_settings, options, compile_mode="captured")


class WithoutFlags:
    """Passes candidates on as if nothing were known of their proofs, so that only the tick's bits can tell."""

    def __init__(self, evaluator: CompiledEvaluator) -> None:
        self.engine = evaluator.engine
        self._evaluator = evaluator

    def load_model(self, model: object) -> None:
        self._evaluator.load_model(model)

    def evaluate(self, candidates: Sequence[Candidate], **options: object) -> Outcomes:
        known = Candidates.of(candidates)
        unknown = known.with_threshold(known.threshold, np.ones(len(known), dtype=bool))
        return self._evaluator.evaluate(unknown, **options)  # pyright: ignore[reportArgumentType]


@few
@given(case=cases)
def test_ranks_are_those_of_whole_evaluations(case: Case, make_dataset: DatasetMaker) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)

    check(case, dataset, WithoutFlags(evaluator_with_bits(dataset, policy, case.settings)))


@few
@given(case=cases, thresholds=st.lists(st.floats(-130, 0.5), min_size=1, max_size=9))
def test_trajectories_end_at_the_step_at_which_the_reference_ends_them(
    case: Case, thresholds: list[float], make_dataset: DatasetMaker
) -> None:
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    model = compute_least_model(dataset)
    known = Candidates.of(case.candidates(dataset))
    threshold = np.resize(thresholds, len(known))
    expected = ReferenceEvaluator(dataset, policy, case.settings).evaluate(
        known.with_threshold(threshold, model.contains(known.triples))
    )
    evaluator = evaluator_with_bits(dataset, policy, case.settings)
    evaluator.load_model(model)

    outcomes = evaluator.evaluate(known.with_threshold(threshold, np.ones(len(known), dtype=bool)))

    assert_same(outcomes, expected)
    assert outcomes.is_pruned.tolist() == expected.is_pruned.tolist()


def is_refused(case: Case, make_dataset: DatasetMaker) -> bool:
    """Whether the comparison with whole evaluations refuses the case."""
    dataset = case.dataset(make_dataset)
    policy = make_policy(dataset, case.seed, spread=2.0, **case.shape)
    try:
        check(case, dataset, evaluator_with_bits(dataset, policy, case.settings))
    except AssertionError:
        return True
    return False


@pytest.fixture(scope="module")
def some_cases() -> list[Case]:
    return collected_cases(25)


def test_bits_that_lack_atoms_are_seen(
    some_cases: list[Case], make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = LeastModel.bits
    monkeypatch.setattr(LeastModel, "bits", lambda *given: np.zeros_like(sound(*given)))

    assert any(is_refused(case, make_dataset) for case in some_cases)


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


def test_a_model_is_loaded_in_place_and_another_one_replaces_it(dataset: Dataset) -> None:
    evaluator = evaluator_with_bits(dataset, make_policy(dataset, 1), ProverSettings(max_depth=6))
    evaluator.warm_up()
    addresses = evaluator.buffer_addresses()
    paths = Candidates.of(all_paths(dataset)[:12])
    candidates = paths.with_threshold(np.full(12, -50.0), np.ones(12, dtype=bool))
    whole = evaluator.evaluate(candidates)

    evaluator.load_model(LeastModel({}))
    ended = evaluator.evaluate(candidates)
    evaluator.load_model(AllAtoms())  # gives no bits
    still_ended = evaluator.evaluate(candidates)
    evaluator.load_model(compute_least_model(dataset))
    whole_again = evaluator.evaluate(candidates)

    assert not whole.is_pruned.any() and whole_again == whole
    assert ended.is_pruned.any() and still_ended == ended
    assert evaluator.buffer_addresses() == addresses


def test_bits_of_another_graph_are_refused(dataset: Dataset) -> None:
    class Other:
        def bits(self, num_predicates: int, num_constants: int) -> np.ndarray:
            return np.zeros((num_predicates + 1, 3, 1), dtype=np.uint8)

    evaluator = evaluator_with_bits(dataset, make_policy(dataset, 1), ProverSettings(max_depth=6))

    with pytest.raises(EvaluationError, match=r"a set of atoms has the shape \[\d+, 3, 1\]; expected \["):
        evaluator.load_model(Other())


def test_a_set_that_is_too_large_is_left_out_and_the_host_still_prunes(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_bits, "MOST_BYTES", 10)
    model = compute_least_model(dataset)
    paths = Candidates.of(all_paths(dataset))
    # What the host says of candidates, and nothing else, ends them.
    is_provable = np.arange(len(paths)) % 2 == 0
    candidates = paths.with_threshold(np.full(len(paths), -50.0), is_provable)
    evaluator = evaluator_with_bits(dataset, make_policy(dataset, 1), ProverSettings(max_depth=6))

    evaluator.load_model(model)
    outcomes = evaluator.evaluate(candidates)

    assert evaluator.make_tick(NUM_LANES).environment.engine.tables.provable is None
    assert outcomes.is_pruned.any() and not outcomes.is_pruned[is_provable].any()


def test_bits_count_in_the_memory_that_is_needed(dataset: Dataset) -> None:
    policy, settings_ = make_policy(dataset, 1), ProverSettings(max_depth=6)
    options = EvaluatorOptions(buckets=(NUM_LANES,), pool_size=4)
    without, with_bits = (
        CompiledEvaluator(dataset, policy, settings_, replace(options, has_model_bits=flag))
        for flag in (None, True)
    )

    table = with_bits.make_tick(NUM_LANES).environment.engine.tables.provable
    assert table is not None
    assert with_bits.required_bytes == without.required_bytes + table.table.nbytes
