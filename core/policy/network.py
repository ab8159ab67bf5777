"""The policy network: computes logits from a state and its actions' states.

The same network is applied to the current state and to each action's state. A logit is the dot product of the two
vectors (``docs/semantics.md``, "Policy").
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.embeddings import StateEmbedding


class ResidualBlock(nn.Module):
    """``x + LayerNorm(ReLU(Linear(x)))``."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size, eps=eps)

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``[..., size]`` to ``[..., size]``."""
        return features + self.norm(functional.relu(self.linear(features)))


class PolicyNetwork(nn.Module):
    """Embedding, body and head of a policy."""

    def __init__(self, config: PolicyConfig, num_predicates: int, num_constants: int) -> None:
        """Makes a network with linear layers at torch's default initial values and embeddings of zeros.

        Args:
            config: shape and formulas.
            num_predicates: P, without the terminal predicates.
            num_constants: C.
        """
        super().__init__()
        self.config = config
        hidden = config.hidden_dim
        self.embedding = StateEmbedding(config, num_predicates, num_constants)
        self.body_input = nn.Linear(config.embedding_dim, hidden)
        self.body_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.body_blocks = nn.ModuleList(
            ResidualBlock(hidden, config.layer_norm_eps) for _ in range(config.num_layers)
        )
        self.head_hidden = nn.Linear(hidden, hidden)
        self.head_output = nn.Linear(hidden, config.embedding_dim)

    @property
    def num_arguments(self) -> int:
        """Indices of arguments that have an embedding: padding, constants and variables."""
        return self.embedding.arguments.shape[0]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.embedding.arguments.device

    def in_dtype(self, dtype: torch.dtype) -> PolicyNetwork:
        """Returns a copy that computes in ``dtype``."""
        return copy.deepcopy(self).to(dtype)

    def features(self, states: Tensor) -> Tensor:
        """Returns the vectors of states.

        Args:
            states: ``[N, A, 3]`` int64, padded with zeros.

        Returns:
            ``[N, E]``, each of length 1 if the config says so.
        """
        hidden = self.body_norm(functional.relu(self.body_input(self.embedding(states))))
        for block in self.body_blocks:
            hidden = block(hidden)
        vectors = self.head_output(functional.relu(self.head_hidden(hidden)))
        return functional.normalize(vectors, dim=-1) if self.config.l2_norm else vectors

    @property
    def logit_scale(self) -> float:
        """The factor by which a dot product becomes a logit."""
        scale = 1.0 / math.sqrt(self.config.embedding_dim) if self.config.sqrt_scale else 1.0
        return scale / self.config.temperature if self.config.temperature is not None else scale

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """Returns the logits of one state's actions.

        Args:
            state: ``[A, 3]`` int64.
            actions: ``[S, A, 3]`` int64.

        Returns:
            ``[S]``.
        """
        vectors = self.features(torch.cat([state.unsqueeze(0), actions]))
        return (vectors[1:] @ vectors[0]) * self.logit_scale


def empty_network(config: PolicyConfig, num_predicates: int, num_constants: int) -> PolicyNetwork:
    """Makes a network on the CPU whose weights are not set yet; none of torch's random numbers are drawn.

    Args:
        config: shape and formulas.
        num_predicates: P, without the terminal predicates.
        num_constants: C.
    """
    with torch.device("meta"):
        network = PolicyNetwork(config, num_predicates, num_constants)
    return network.to_empty(device="cpu")
