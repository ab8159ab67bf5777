"""Networks with random weights: what training begins with, and the baseline of a policy that has learned nothing."""

from __future__ import annotations

import torch

from proofrank.core.graph import PADDING, Vocabulary
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.network import PolicyNetwork

EMBEDDING_SCALE = 3e-3
"""Standard deviation of the embeddings that training begins with."""


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
