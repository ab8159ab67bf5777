"""Precisions: the supported ones of each device, and that float32 is exact whatever the process has set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import create_evaluator
from proofrank.core.policy import PolicyConfig, PolicyNetwork
from proofrank.core.policy.features import CHUNK_ROWS, RowFeatures
from proofrank.core.policy.precision import matrix_products_in, precisions_of
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(max_depth=4, padding_states=12)


@pytest.fixture(autouse=True)
def flag() -> Iterator[None]:
    """Restores the process's flag after each test."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_tf32_is_a_precision_of_cuda_alone(make_dataset: DatasetMaker) -> None:
    dataset = make_paths(make_dataset)

    assert precisions_of(torch.device("cuda")) == ("float32", "tf32", "bfloat16")
    with pytest.raises(EvaluationError) as caught:
        create_evaluator("eager", dataset, make_policy(dataset), SETTINGS, device="cpu", precision="tf32")
    assert "precision 'tf32' needs a CUDA device, not 'cpu'; expected one of float32, bfloat16" in str(
        caught.value
    )


def test_an_unknown_precision_is_refused_with_those_that_there_are(make_dataset: DatasetMaker) -> None:
    dataset = make_paths(make_dataset)

    with pytest.raises(EvaluationError, match="precision is 'half'; expected one of float32, bfloat16"):
        create_evaluator("eager", dataset, make_policy(dataset), SETTINGS, device="cpu", precision="half")


@pytest.mark.parametrize(("precision", "is_tf32"), [("float32", False), ("bfloat16", False), ("tf32", True)])
def test_the_flag_is_as_the_precision_says_and_is_put_back(precision: str, is_tf32: bool) -> None:
    for before in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(before)

        with matrix_products_in(precision):
            assert torch.backends.cuda.matmul.allow_tf32 is is_tf32

        assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("compile_mode", ["eager", "captured"])
def test_float32_gives_the_same_bits_where_the_process_allows_less(
    compile_mode: str, make_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_paths(make_dataset)
    evaluator = create_evaluator(
        compile_mode, dataset, make_policy(dataset), SETTINGS, device="cpu", buckets=(4,), calibrate=False
    )
    exact = evaluator.evaluate(all_paths(dataset))
    seen: set[str] = set()
    transform = RowFeatures.transform

    def watched(self: RowFeatures, embedded: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_float32_matmul_precision())
        return transform(self, embedded)

    monkeypatch.setattr(RowFeatures, "transform", watched)
    torch.set_float32_matmul_precision("medium")

    assert evaluator.evaluate(all_paths(dataset)) == exact
    assert seen == {"highest"}


def test_the_device_is_asked_whether_one_product_has_the_bits_of_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = RowFeatures(PolicyNetwork(PolicyConfig(max_variables=10), num_predicates=3, num_constants=3))
    assert features.has_same_bits_whole(2 * CHUNK_ROWS)
    transform = RowFeatures.transform

    def other_bits(self: RowFeatures, embedded: torch.Tensor) -> torch.Tensor:
        vectors = transform(self, embedded)
        return vectors if len(embedded) == CHUNK_ROWS else vectors * (1 + 2**-20)

    monkeypatch.setattr(RowFeatures, "transform", other_bits)

    assert not features.has_same_bits_whole(2 * CHUNK_ROWS)


def test_an_embedding_that_is_written_out_for_a_compiler_has_the_same_bits() -> None:
    network = PolicyNetwork(PolicyConfig(max_variables=10), num_predicates=30, num_constants=300)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for table in (network.embedding.predicates, network.embedding.arguments):
            table.copy_(torch.randn(table.shape, generator=generator))
    features = RowFeatures(network)
    assert features.is_fused_embedding
    states = features._random_states(CHUNK_ROWS, generator)

    in_a_bag = features.embed(states)
    features.compute_whole(CHUNK_ROWS)

    assert torch.equal(features.embed(states), in_a_bag)
