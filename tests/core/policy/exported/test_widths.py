"""Networks of any width: a row has the same bits in every place of a tile, whatever the sizes of the layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from proofrank.core.errors import PolicyError
from proofrank.core.policy import load_policy
from proofrank.core.policy.exported import operations
from proofrank.core.policy.exported.checking import TILE_ROWS
from proofrank.core.policy.exported.rows import differing_company
from proofrank.core.policy.exporting import NetworkSizes, export_policy, network_sizes
from tests.helpers.full_disk import no_room_for
from tests.helpers.own_networks import default_dataset

WIDTHS = range(1, 41)
INNER_SIZES = (1, 3, 5, 8, 9, 15, 16, 27, 30, 45)
REFUSED_BEFORE = (5, 7, 9, 11)
"""Widths at which MKL's products on AMD's processors do not give a row the same bits in each place."""


class PairScorer(nn.Module):
    """Pairs to logits, by two linear layers."""

    def __init__(self, sizes: NetworkSizes, width: int) -> None:
        super().__init__()
        self.predicates = nn.Embedding(sizes.num_predicates, width)
        self.arguments = nn.Embedding(sizes.num_arguments, width)
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def _sum(self, states: Tensor) -> Tensor:
        predicate, first, second = states.unbind(dim=-1)
        return (self.predicates(predicate) + self.arguments(first) - self.arguments(second)).sum(dim=1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        return self.score(torch.cat([self._sum(state), self._sum(action)], dim=-1)).squeeze(-1)


class TwoTowers(nn.Module):
    """States to vectors: one tower for predicates, one for arguments."""

    def __init__(self, sizes: NetworkSizes, width: int) -> None:
        super().__init__()
        self.predicates = nn.Embedding(sizes.num_predicates, width)
        self.arguments = nn.Embedding(sizes.num_arguments, width)
        self.first = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.second = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, states: Tensor) -> Tensor:
        arguments = self.arguments(states[..., 1:]).flatten(start_dim=2)
        return self.first(self.predicates(states[..., 0]).sum(dim=1)) + self.second(arguments.sum(dim=1))


NETWORKS = {"pairs": PairScorer, "two towers": TwoTowers}


def check_exported(kind: str, width: int, folder: Path) -> None:
    """Exports a network, loads it, and compares it with the module."""
    dataset = default_dataset()
    sizes = network_sizes(dataset)
    with torch.random.fork_rng():
        torch.manual_seed(width)
        module = NETWORKS[kind](sizes, width)
    policy = export_policy(module, dataset, folder / f"{width}")
    assert load_policy(folder / f"{width}", dataset).content_hash == policy.content_hash
    state = torch.randint(1, sizes.num_predicates, (sizes.num_atoms, 3))
    actions = torch.randint(1, sizes.num_predicates, (5, sizes.num_atoms, 3))
    with torch.no_grad():
        if kind == "pairs":
            expected = module(state.expand_as(actions), actions)
        else:
            expected = (module(actions) * module(state.unsqueeze(0))).sum(dim=1)
        assert torch.allclose(policy.model(state, actions), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("width", [*REFUSED_BEFORE, 15])
def test_narrow_and_odd_networks_are_exported(kind: str, width: int, tmp_path: Path) -> None:
    check_exported(kind, width, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_of_every_width_are_exported(kind: str, tmp_path: Path) -> None:
    for width in WIDTHS:
        check_exported(kind, width, tmp_path)


def product_of(name: str, inner: int, width: int) -> Callable[[Tensor], Tensor]:
    """A product of rows ``[64, 3, inner]`` with random weights, one for each kind of operation."""
    generator = torch.Generator().manual_seed(inner * 100 + width)
    weight = torch.randn(width, inner, generator=generator)
    bias = torch.randn(width, generator=generator)
    second = torch.randn(inner, width, generator=generator)
    batch = torch.randn(3, inner, width, generator=generator)
    function = operations.function_of(f"aten.{name.split()[0]}.default")
    return {
        "addmm": lambda rows: function(bias, rows[:, 0], weight.t()),
        "mm": lambda rows: function(rows[:, 0], weight.t()),
        "mm of weights as they lie in memory": lambda rows: function(rows[:, 0], second),
        "mm of all atoms": lambda rows: function(rows.reshape(-1, inner), second).view(TILE_ROWS, -1),
        "bmm": lambda rows: function(rows.transpose(0, 1), batch).transpose(0, 1).flatten(start_dim=1),
    }[name]


@pytest.mark.parametrize(
    "name", ["addmm", "mm", "mm of weights as they lie in memory", "mm of all atoms", "bmm"]
)
def test_a_row_of_a_product_has_the_same_bits_in_every_place(name: str) -> None:
    differing = [
        (inner, width)
        for inner in INNER_SIZES
        for width in WIDTHS
        if differing_company(
            product_of(name, inner, width),
            lambda generator, inner=inner: [torch.randn(TILE_ROWS, 3, inner, generator=generator)],
        )
    ]
    assert differing == []


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17])
def test_products_are_those_of_torch(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    rows, second = torch.randn(64, 7, generator=generator), torch.randn(7, width, generator=generator)
    mm, addmm, bmm = (operations.function_of(f"aten.{name}.default") for name in ("mm", "addmm", "bmm"))
    assert torch.allclose(mm(rows, second), torch.mm(rows, second), atol=1e-5)
    assert mm(rows, second).is_contiguous()
    for shape in ([width], [1], [64, width], [64, 1], []):
        bias = torch.randn(shape, generator=generator)
        expected = torch.addmm(bias, rows, second, beta=0.5, alpha=2.0)
        assert torch.allclose(addmm(bias, rows, second, beta=0.5, alpha=2.0), expected, atol=1e-5)
    for num_rows in (5, 64):
        batch = torch.randn(3, num_rows, 7, generator=generator)
        given = batch, second.expand(3, 7, width)
        assert torch.allclose(bmm(*given), torch.bmm(*given), atol=1e-5)


@pytest.mark.parametrize(("size", "width"), [(16, 5), (3, 5), (15, 16)])
def test_a_bias_of_another_size_is_refused_although_it_would_fit_once_padded(size: int, width: int) -> None:
    addmm = operations.function_of("aten.addmm.default")
    with pytest.raises(ValueError, match=rf"a bias of shape \[{size}\] for {width} columns"):
        addmm(torch.zeros(size), torch.zeros(64, 7), torch.zeros(7, width))


class RoundingByPlace(PairScorer):
    """Gives a row another last digit in each place of its tile."""

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        logits = super().forward(state, action)
        return logits + 1e-6 * torch.arange(len(logits))


def test_a_network_that_rounds_otherwise_in_another_place_is_refused_with_what_would_be_right(
    tmp_path: Path,
) -> None:
    module = RoundingByPlace(network_sizes(default_dataset()), 16)
    with pytest.raises(PolicyError, match=r"differs by \de-05 .*, by rounding.*multiples of 16"):
        export_policy(module, default_dataset(), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_folder_may_be_named_as_policies_that_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = network_sizes(default_dataset())

    exported = export_policy(PairScorer(sizes, 8), default_dataset(), "untrained")

    assert exported.content_hash == load_policy(tmp_path / "untrained", default_dataset()).content_hash


def test_a_network_that_cannot_be_written_whole_leaves_the_policy_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = default_dataset()
    sizes = network_sizes(dataset)
    before = export_policy(PairScorer(sizes, 8), dataset, tmp_path / "own").content_hash
    no_room_for("vocab.json", monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        export_policy(PairScorer(sizes, 16), dataset, tmp_path / "own")

    assert load_policy(tmp_path / "own", dataset).content_hash == before
