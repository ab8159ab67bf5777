"""Weights in one buffer: the tensors keep their values, strides and places, and others arrive in one copy a type."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from proofrank.core.errors import EvaluationError
from proofrank.core.policy import PolicyConfig, PolicyNetwork, block_operation
from proofrank.core.policy.features import RowFeatures
from proofrank.core.policy.static_weights import StaticWeights
from proofrank.core.prover.packing import pack


def drawn_network(seed: int) -> PolicyNetwork:
    torch.manual_seed(seed)
    config = PolicyConfig(embedding_dim=16, hidden_dim=32, num_layers=2, max_variables=5)
    network = PolicyNetwork(config, num_predicates=4, num_constants=9).requires_grad_(False)
    for table in (network.embedding.predicates, network.embedding.arguments):
        table.copy_(torch.randn(table.shape))
    return network


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_another_network_in_one_buffer_has_the_bits_that_it_has_apart(precision: str) -> None:
    first, second = drawn_network(0), drawn_network(1)
    states = pack(*torch.randint(1, 4, (3, 64, 6)))
    features = RowFeatures(first, precision)
    before = features(states)

    features.settle(first)

    assert torch.equal(features(states), before)
    features.load(second)
    assert torch.equal(features(states), RowFeatures(second, precision)(states))
    assert not torch.equal(features(states), before)
    assert features.num_weight_copies == (1 if precision == "float32" else 2), "one for each type"


def test_tensors_keep_values_strides_and_identity() -> None:
    turned = torch.arange(6.0).view(2, 3).t()
    weight = nn.Parameter(torch.tensor([7.0]), requires_grad=False)
    count = torch.tensor(5)

    weights = StaticWeights({"turned": turned, "weight": weight, "count": count})
    addresses = [tensor.data_ptr() for tensor in (turned, weight, count)]
    assert turned.tolist() == [[0, 3], [1, 4], [2, 5]] and turned.stride() == (1, 3)
    assert (weight.item(), count.item()) == (7, 5)
    weights.load({"turned": torch.ones(3, 2), "weight": torch.tensor([8.0]), "count": torch.tensor(6)})

    assert turned.tolist() == [[1, 1]] * 3
    assert (weight.item(), count.item()) == (8, 6)
    assert [tensor.data_ptr() for tensor in (turned, weight, count)] == addresses
    assert weights.num_copies == 2


def test_blocks_are_fused_only_where_the_kernel_can_compute_them() -> None:
    with pytest.raises(EvaluationError, match="precision float32, not 'bfloat16'"):
        RowFeatures(drawn_network(0), "bfloat16").fuse_blocks("tf32x3")
    odd = PolicyNetwork(PolicyConfig(hidden_dim=48), num_predicates=2, num_constants=3)
    with pytest.raises(EvaluationError, match="size 48; fused are 16, 32, 64, 128, 256"):
        RowFeatures(odd).fuse_blocks("tf32x3")


def test_fused_blocks_are_used_until_they_are_not() -> None:
    network = drawn_network(0)
    states = pack(*torch.randint(1, 4, (3, 64, 6)))
    features = RowFeatures(network)
    before = features(states)
    called: list[str] = []

    def watch(*given: object) -> torch.Tensor:
        called.append(str(given[-1]))
        return block_operation.residual_block(*given)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proofrank.core.policy.features.residual_block", watch)
        features.fuse_blocks("tf32x3")
        fused = features(states)
        features.fuse_blocks(None)
        plain = features(states)

    assert called == ["tf32x3"] * 2
    assert torch.allclose(fused, before, atol=1e-6)
    assert torch.equal(plain, before)
