"""A candidate has the same bits in every bucket and company, and where it has not, that is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.evaluator.bits import buckets_with_other_bits, warn_if_buckets_differ
from proofrank.core.evaluator.modes import Mode, compile_tick, compiler_options
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.packages import PackageCache
from proofrank.core.evaluator.sample import sample_candidates
from proofrank.core.evaluator.tick_program import tensors_of
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy, with_nan

SETTINGS = ProverSettings(max_depth=5, padding_states=12)
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    """A policy of many choices."""
    return make_policy(dataset, 1, spread=2.0)


def evaluator_of(dataset: Dataset, policy: Policy, compile_mode: str = "captured") -> CompiledEvaluator:
    """An evaluator of two buckets."""
    return CompiledEvaluator(
        dataset, policy, SETTINGS, EvaluatorOptions(buckets=(4, 32), pool_size=64), compile_mode=compile_mode
    )


@pytest.mark.parametrize("compile_mode", ["eager", "captured"])
def test_all_buckets_give_the_same_bits_and_nothing_is_said(
    compile_mode: str, dataset: Dataset, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = evaluator_of(dataset, policy, compile_mode)

    assert buckets_with_other_bits(evaluator, all_paths(dataset)) == []
    warn_if_buckets_differ(evaluator, sample_candidates(dataset))

    assert not caplog.records


@pytest.mark.parametrize("first_row", [0, 80])
def test_a_bucket_whose_scores_differ_in_the_last_bits_is_named(
    first_row: int, dataset: Dataset, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = evaluator_of(dataset, policy)
    tick = evaluator.tick_of(32)
    exact = tick.score

    def rounded_otherwise(states: Tensor) -> Tensor:
        vectors = exact(states)
        later = torch.arange(len(vectors)) >= first_row
        return torch.where(later.unsqueeze(1), vectors * (1 + 2**-20), vectors)

    tick.score = rounded_otherwise

    assert buckets_with_other_bits(evaluator, all_paths(dataset)) == [32]
    warn_if_buckets_differ(evaluator, all_paths(dataset))

    assert "in buckets of 32 lanes this device gives other bits" in caplog.text


def test_candidates_that_cannot_be_evaluated_leave_the_question_open_with_a_warning(
    dataset: Dataset, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = evaluator_of(dataset, with_nan(policy, dataset, "path"))

    warn_if_buckets_differ(evaluator, all_paths(dataset))

    assert "not known whether all buckets give the same bits" in caplog.text
    assert evaluator.num_in_flight == 0


@pytest.mark.parametrize("compile_mode", ["default", "reduce-overhead", "separate", "graph-trees"])
def test_on_cuda_the_compiler_is_asked_for_sums_that_do_not_hang_on_the_number_of_rows(
    compile_mode: str,
) -> None:
    options = compiler_options(Mode.of(compile_mode, fullgraph=True, device=CUDA), CUDA)

    assert options["batch_invariant"]
    assert ("triton.cudagraphs" in options) == (compile_mode == "graph-trees")
    torch.compile(torch.relu, options=options)  # which refuses a name that it does not know


def test_on_a_cpu_the_compiler_is_told_nothing() -> None:
    cpu = torch.device("cpu")

    assert compiler_options(Mode.of("separate", fullgraph=True, device=cpu), cpu) == {}


def test_for_graph_trees_every_tensor_of_a_tick_is_said_to_stay_where_it_is(
    dataset: Dataset, policy: Policy, tmp_path: Path
) -> None:
    # Or the compiler would capture nothing: a tick writes to most of them.
    evaluator = evaluator_of(dataset, policy)
    tick = evaluator.make_tick(4)

    compile_tick(tick, Mode.of("graph-trees", fullgraph=True, device=CUDA), PackageCache(tmp_path))

    assert all(getattr(tensor, "_dynamo_static_input_type", None) for tensor in tensors_of(tick))
