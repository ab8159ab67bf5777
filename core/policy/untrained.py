"""Networks with random weights: what training begins with, and the baseline of a policy that has learned nothing."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from proofrank.core.graph import PADDING, Vocabulary
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.network import PolicyNetwork

UNTRAINED = "untrained"
"""Stands where the folder of a policy is asked for, alone or before ``:SEED``."""

_UNTRAINED = re.compile(rf"{UNTRAINED}(?::(?P<seed>\d{{1,18}}))?")

EMBEDDING_SCALE = 3e-3
"""Standard deviation of the embeddings that training begins with."""


def untrained_seed(source: Path | str) -> int | None:
    """The seed of ``untrained`` (0) or ``untrained:SEED``; None for the path of a folder."""
    named = _UNTRAINED.fullmatch(str(source))
    return None if named is None else int(named["seed"] or 0)


def untrained_name(seed: int) -> str:
    """The name of the untrained policy of a seed: ``untrained`` for 0, else ``untrained-SEED``."""
    return UNTRAINED if seed == 0 else f"{UNTRAINED}-{seed}"


def random_network(
    config: PolicyConfig, vocabulary: Vocabulary, seed: int, embedding_scale: float = EMBEDDING_SCALE
) -> PolicyNetwork:
    """A network with random weights, in evaluation mode and without gradients; torch's own generator is left as it is.

    Args:
        config: its shape.
        vocabulary: what it embeds.
        seed: of the weights.
        embedding_scale: standard deviation of the embeddings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return drawn_network(config, vocabulary, embedding_scale)


def drawn_network(config: PolicyConfig, vocabulary: Vocabulary, embedding_scale: float) -> PolicyNetwork:
    """A network whose weights are the next that torch's generator draws; see :func:`random_network`."""
    network = PolicyNetwork(config, vocabulary.num_predicates, vocabulary.num_constants)
    with torch.no_grad():
        for table in (network.embedding.predicates, network.embedding.arguments):
            table.normal_(0.0, embedding_scale)
            table[PADDING] = 0.0
    return network.eval().requires_grad_(False)
