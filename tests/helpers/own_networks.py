"""Networks of one's own, as three people might have written them, and their policy folders.

Tracing takes seconds, so that each network is exported once for all tests of a process.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

import proofrank
from proofrank.core.default import DATASET
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy.exporting import NetworkSizes, export_policy, network_sizes

SIZE = 16


class TwoTowers(nn.Module):
    """States to vectors: one tower for predicates, one for arguments, with GELU and batch-norm."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.predicates = nn.Embedding(sizes.num_predicates, SIZE)
        self.arguments = nn.Embedding(sizes.num_arguments, SIZE)
        self.first = self._tower(SIZE)
        self.second = self._tower(2 * SIZE)

    @staticmethod
    def _tower(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.BatchNorm1d(32), nn.Linear(32, SIZE))

    def forward(self, states: Tensor) -> Tensor:
        is_atom = (states[..., 0] != 0).unsqueeze(-1)
        predicates = (self.predicates(states[..., 0]) * is_atom).sum(dim=1)
        arguments = (self.arguments(states[..., 1:]).flatten(start_dim=2) * is_atom).sum(dim=1)
        return self.first(predicates) + self.second(arguments)


class AtomTransformer(nn.Module):
    """States to vectors: a transformer over the atoms, which masks empty places."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.predicates = nn.Embedding(sizes.num_predicates, SIZE, padding_idx=0)
        self.arguments = nn.Embedding(sizes.num_arguments, SIZE, padding_idx=0)
        self.places = nn.Parameter(torch.randn(sizes.num_atoms, SIZE))
        layer = nn.TransformerEncoderLayer(SIZE, 2, 32, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, states: Tensor) -> Tensor:
        predicate, first, second = states.unbind(dim=-1)
        atoms = self.predicates(predicate) + self.arguments(first) - self.arguments(second) + self.places
        is_empty = predicate == 0
        encoded = self.encoder(atoms, src_key_padding_mask=is_empty).masked_fill(is_empty.unsqueeze(-1), 0.0)
        return encoded.sum(dim=1) / (~is_empty).sum(dim=1, keepdim=True).clamp(min=1)


class PairScorer(nn.Module):
    """Pairs to logits: a GRU over the atoms of each, and a network over both."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.predicates = nn.Embedding(sizes.num_predicates, SIZE)
        self.arguments = nn.Embedding(sizes.num_arguments, SIZE)
        self.reader = nn.GRU(3 * SIZE, SIZE, batch_first=True)
        self.score = nn.Sequential(nn.Linear(4 * SIZE, 32), nn.SiLU(), nn.Linear(32, 1))

    def _read(self, states: Tensor) -> Tensor:
        predicate, first, second = states.unbind(dim=-1)
        atoms = [self.predicates(predicate), self.arguments(first), self.arguments(second)]
        return self.reader(torch.cat(atoms, dim=-1))[1][0]

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        first, second = self._read(state), self._read(action)
        both = torch.cat([first, second, first * second, (first - second).abs()], dim=-1)
        return 5 * self.score(both).squeeze(-1)


NETWORKS = {"two towers": TwoTowers, "transformer": AtomTransformer, "pairs": PairScorer}
LOGIT_SCALES = {"two towers": 0.5, "transformer": 3.0, "pairs": 2.0}


@cache
def default_dataset() -> Dataset:
    """The countries of the package."""
    return load_dataset(DATASET)


def make_network(kind: str, dataset: Dataset, seed: int = 0) -> nn.Module:
    """Makes a network with random weights, whose batch-norm has seen some states; in training mode, as after
    training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = network_sizes(dataset)
        network = NETWORKS[kind](sizes)
        for _ in range(3):
            shape = (32, sizes.num_atoms)
            predicate = torch.randint(1, sizes.num_predicates, shape)
            arguments = torch.randint(1, sizes.num_arguments, (2, *shape))
            states = torch.stack([predicate, *arguments], dim=-1)
            with torch.no_grad():
                _ = network(states, states) if kind == "pairs" else network(states)
    return network


@cache
def exported(kind: str, seed: int = 0) -> Path:
    """Returns the policy folder of a network for :func:`default_dataset`; a test must not change it."""
    dataset = default_dataset()
    root = Path(tempfile.mkdtemp(prefix="proofrank-test-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folder = root / kind.replace(" ", "-")
    network = make_network(kind, dataset, seed)
    export_policy(network, dataset, folder, logit_scale=LOGIT_SCALES[kind], training={"seed": seed})
    return folder


def exported_policy(kind: str, seed: int = 0) -> proofrank.Policy:
    """Loads :func:`exported`."""
    return proofrank.load_policy(exported(kind, seed), default_dataset())
