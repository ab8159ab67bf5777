"""Small policies with random weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, build_network


def make_policy(
    dataset: Dataset, seed: int = 0, *, spread: float = 1.0, max_variables: int = 2000, **shape: Any
) -> Policy:
    """Makes a small policy with random weights; ``spread`` is the size of its embeddings."""
    config = PolicyConfig.from_dict(
        {"embedding_dim": 8, "hidden_dim": 16, "num_layers": 1, "max_variables": max_variables, **shape}
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(config, dataset.vocabulary)
        with torch.no_grad():
            for table in (network.embedding.predicates, network.embedding.arguments):
                table[1:] = torch.randn_like(table[1:]) * spread
    return Policy(f"random{seed}", network, dataset.vocabulary, None, content_hash=f"random{seed}")


def with_nan(policy: Policy, dataset: Dataset, predicate: str) -> Policy:
    """The policy, but with an embedding of ``predicate`` that is not a number."""
    broken = make_policy(dataset, 1, spread=2.0)
    with torch.no_grad():
        broken.network.embedding.predicates[dataset.vocabulary.predicate_index(predicate)] = torch.nan
    return dataclasses.replace(broken, name="broken")


def without_choice(policy: Policy) -> Policy:
    """The policy with an embedding of zeros: all actions tie, and so do many candidates."""
    with torch.no_grad():
        for table in (policy.network.embedding.predicates, policy.network.embedding.arguments):
            table.zero_()
    return policy
