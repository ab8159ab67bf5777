"""A family small enough to check by hand, with an untrained policy, for the service's tests.

``ancestor`` has rules, so proofs take several steps; the names contain what names of real graphs contain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from proofrank.core.graph import load_dataset
from proofrank.core.policy import PolicyConfig, build_network, save_policy
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import write_dataset

TRAIN = (
    "parent(anna,ben).",
    "parent(ben,cara).",
    "parent(cara,/m/08966).",
    "parent(anna,eva).",
    "parent(eva,Zoë).",
    "parent(Zoë,00260881).",
    "parent(george.1,anna).",
    "ancestor(anna,cara).",
    "ancestor(eva,00260881).",
)
VALID = ("ancestor(ben,/m/08966).",)
TEST = ("ancestor(anna,Zoë).", "ancestor(george.1,cara).", "parent(ben,Zoë).")
RULES = (
    "direct:1:parent(X,Y) -> ancestor(X,Y)",
    "further:1:parent(X,Y), ancestor(Y,Z) -> ancestor(X,Z)",
)
NUM_CONSTANTS = 8


def write_family(folder: Path) -> Path:
    """Writes the dataset into ``folder``."""
    write_dataset(folder, TRAIN, RULES, valid=VALID, test=TEST)
    return folder


def write_untrained_policy(
    folder: Path,
    dataset_folder: Path,
    seed: int = 0,
    *,
    settings: ProverSettings | None = None,
    **shape: Any,
) -> Path:
    """Writes a policy with random weights for the dataset into ``folder``; ``shape`` has fields of its config."""
    dataset = load_dataset(dataset_folder)
    sizes = {"embedding_dim": 16, "hidden_dim": 32, "num_layers": 2, "max_variables": 200}
    config = PolicyConfig.from_dict({**sizes, **shape})
    network = build_network(config, dataset.vocabulary)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        # Layer norms keep their initial values; the padding rows of the embeddings must stay zero.
        if "norm" not in name:
            parameter.normal_(std=0.4, generator=generator)
        if name in ("embedding.predicates", "embedding.arguments"):
            parameter[0] = 0.0
    save_policy(folder, network, dataset.vocabulary, settings or ProverSettings())
    return folder
