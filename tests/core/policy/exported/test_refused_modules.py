"""Modules that cannot be exported are refused with what would be right, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy.exporting import export_policy, network_sizes
from tests.helpers.datasets import DatasetMaker


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(["p(a,b).", "q(b,c)."], ["p(X,Z), q(Z,Y) -> r(X,Y)"])


class Encoder(nn.Module):
    """The sum of a state's atoms, and a layer."""

    def __init__(self, num_predicates: int, num_arguments: int, size: int = 16) -> None:
        super().__init__()
        self.predicates = nn.Embedding(num_predicates, size)
        self.arguments = nn.Embedding(num_arguments, size)
        self.layer = nn.Linear(size, size)

    def encode(self, states: Tensor) -> Tensor:
        predicate, first, second = states.unbind(-1)
        return self.layer(
            (self.predicates(predicate) + self.arguments(first) - self.arguments(second)).sum(1)
        )


class OfStates(Encoder):
    def forward(self, states: Tensor) -> Tensor:
        return self.encode(states)


class LessTheMean(Encoder):
    def forward(self, states: Tensor) -> Tensor:
        vectors = self.encode(states)
        return vectors - vectors.mean(0)


class ByName(Encoder):
    def forward(self, states: Tensor) -> dict[str, Tensor]:
        return {"vectors": self.encode(states)}


class ActionFirst(Encoder):
    def forward(self, action: Tensor, state: Tensor) -> Tensor:
        return (self.encode(state) * self.encode(action)).sum(-1)


def made(kind: type[Encoder], dataset: Dataset, num_left_out: int = 0) -> Encoder:
    sizes = network_sizes(dataset)
    torch.manual_seed(0)
    return kind(sizes.num_predicates, sizes.num_arguments - num_left_out)


def refusal(module: Any, dataset: Dataset, folder: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        export_policy(module, dataset, folder)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_a_mean_over_the_rows_is_told_as_what_it_is_and_not_as_rounding(
    dataset: Dataset, tmp_path: Path
) -> None:
    message = refusal(made(LessTheMean, dataset), dataset, tmp_path)

    assert message.startswith("rows depend on each other")
    assert "rounding" not in message


def test_a_result_that_is_no_tensor_is_told_by_its_kind(dataset: Dataset, tmp_path: Path) -> None:
    assert "the module gives a dict; expected one tensor" in refusal(made(ByName, dataset), dataset, tmp_path)


def test_an_action_before_the_state_is_refused_for_the_state_comes_first(
    dataset: Dataset, tmp_path: Path
) -> None:
    message = refusal(made(ActionFirst, dataset), dataset, tmp_path)

    assert "forward takes (action, state)" in message
    assert "expected forward(state, action)" in message


def test_tables_that_lack_the_variables_are_told_with_the_numbers(dataset: Dataset, tmp_path: Path) -> None:
    message = refusal(made(OfStates, dataset, num_left_out=1), dataset, tmp_path)

    assert f"arguments up to {network_sizes(dataset).num_arguments - 1} (padding, 3 constants," in message


@pytest.mark.parametrize("module", ["network.pt", None, torch.ones(2)])
def test_what_is_no_module_is_refused(module: Any, dataset: Dataset, tmp_path: Path) -> None:
    assert "; expected a torch.nn.Module" in refusal(module, dataset, tmp_path)
