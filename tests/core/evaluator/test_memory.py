"""What a bucket is announced to take is what it takes, or somewhat more."""

from __future__ import annotations

import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.memory import memory_of
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.paths import make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(max_depth=5, padding_states=12)


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("num_lanes", [16, 1024])
def test_the_estimate_covers_what_a_tick_takes_at_its_worst_moment(
    num_lanes: int, is_chunked: bool, dataset: Dataset
) -> None:
    evaluator = CompiledEvaluator(
        dataset,
        make_policy(dataset),
        SETTINGS,
        EvaluatorOptions(buckets=(num_lanes,), pool_size=8),
        compile_mode="captured",
    )
    tick = evaluator.make_tick(num_lanes)
    if not is_chunked:
        tick.network.compute_whole(tick.environment.capacities.num_states)

    memory = memory_of(tick)

    assert memory.lanes > 0
    assert memory.lanes + memory.temporary <= evaluator.required_bytes
    assert evaluator.required_bytes < 20 * (memory.lanes + memory.temporary)


def test_what_does_not_fit_is_refused_with_the_number_before_it_is_allocated(dataset: Dataset) -> None:
    with pytest.raises(EvaluationError, match=r"buckets of 1073741824 lanes needs about \d+\.\d GiB on cpu"):
        CompiledEvaluator(
            dataset,
            make_policy(dataset),
            SETTINGS,
            EvaluatorOptions(buckets=(2**30,)),
            compile_mode="captured",
        )
