"""Products with packed weights are those of the weights that a network has, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call

from proofrank.core.policy import PolicyConfig, features, packed_products
from proofrank.core.policy.features import CHUNK_ROWS, ROW_MULTIPLE, RowFeatures
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.policy.packed_products import PackedProducts, is_packing_faster

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="torch without oneDNN",
)


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are packed, whatever the processor."""
    monkeypatch.setattr(features, "is_packing_faster", lambda: True)


def made(seed: int) -> RowFeatures:
    torch.manual_seed(seed)
    network = PolicyNetwork(PolicyConfig(max_variables=10), num_predicates=30, num_constants=300)
    with torch.no_grad():
        for table in (network.embedding.predicates, network.embedding.arguments):
            table.normal_()
    return RowFeatures(network)


def states_of(network: RowFeatures, number: int = CHUNK_ROWS) -> torch.Tensor:
    return network._random_states(number, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("size", [16, 100, 256])
def test_a_row_has_the_same_bits_in_any_number_of_rows(size: int) -> None:
    torch.manual_seed(size)
    layer, rows = nn.Linear(size, size), torch.randn(CHUNK_ROWS, size)
    products = PackedProducts()
    products.pack([layer], CHUNK_ROWS)

    with torch.no_grad():
        whole = products(layer, rows)

        assert torch.allclose(whole, layer(rows), atol=1e-5)
        for number in (1, 16, ROW_MULTIPLE, 7 * ROW_MULTIPLE):
            assert torch.equal(products(layer, rows[:number]), whole[:number])
        assert torch.equal(products(layer, rows.flip(0)).flip(0), whole)


def test_a_layer_with_other_weights_than_the_packed_is_computed_with_its_own() -> None:
    layer, other, rows = nn.Linear(64, 64), nn.Linear(64, 64), torch.randn(ROW_MULTIPLE, 64)
    products = PackedProducts()
    products.pack([layer], CHUNK_ROWS)

    with torch.no_grad():
        assert torch.equal(products(other, rows), other(rows))
        layer.weight = nn.Parameter(torch.zeros(64, 64))
        assert torch.equal(products(layer, rows), layer(rows))


@pytest.mark.usefixtures("packing")
def test_a_weight_that_is_not_a_number_shows_in_the_vectors() -> None:
    network = made(1).network
    with torch.no_grad():
        network.body_input.weight[3, 5] = float("nan")

    vectors = RowFeatures(network)(states_of(made(1)))

    # oneDNN's own ReLU would make 0 of it, and nobody would notice.
    assert vectors.isnan().all()


@pytest.mark.usefixtures("packing")
def test_a_network_has_its_vectors_to_rounding_and_those_of_the_next_after_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = made(1), made(2)
    states = states_of(first)
    assert first.is_row_invariant
    vectors = first(states)
    assert not torch.allclose(vectors, second(states), atol=1e-3)

    first.load(second.network)

    assert torch.equal(first(states), second(states))
    monkeypatch.setattr(features, "is_packing_faster", lambda: False)
    plain = made(2)
    assert plain._packed._packed == {}
    assert torch.allclose(first(states), plain(states), atol=1e-5)


@pytest.mark.usefixtures("packing")
def test_parameters_that_are_given_are_those_computed_with() -> None:
    first, second = made(1), made(2)
    states = states_of(first)
    given = {**dict(second.named_parameters()), **dict(second.named_buffers())}

    with torch.no_grad():
        vectors = functional_call(first, given, (states,))

    assert torch.allclose(vectors, second(states), atol=1e-5)


@pytest.mark.usefixtures("packing")
def test_rows_that_would_depend_on_their_neighbours_are_multiplied_by_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = PackedProducts.__call__

    def by_number(self: PackedProducts, layer: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
        product = packed(self, layer, rows)
        return product * (1 + len(rows) * 2**-20) if layer in self._packed else product

    monkeypatch.setattr(PackedProducts, "__call__", by_number)

    network = made(1)

    assert network.is_row_invariant
    assert network._packed._packed == {}


def test_only_processors_of_amd_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = tmp_path / "cpuinfo"
    monkeypatch.setattr(packed_products, "_PROCESSORS", described)
    found = []
    for text in (
        "vendor_id\t: AuthenticAMD\n",
        "vendor_id\t: GenuineIntel\n",
        "CPU implementer\t: 0x41\n",
        None,
    ):
        if text is None:
            described.unlink()
        else:
            described.write_text(f"processor\t: 0\n{text}")
        is_packing_faster.cache_clear()
        found.append(is_packing_faster())
    is_packing_faster.cache_clear()
    assert found == [True, False, False, False]
