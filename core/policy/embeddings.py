"""Embeds atoms and states.

In: atoms by indices, ``[..., A, 3]`` int64, padding rows all zero. Out: states, ``[..., E]`` float.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from proofrank.core.policy.config import PolicyConfig


class StateEmbedding(nn.Module):
    """Tables of predicates and of constants with variables, an atom formula, and a pooling over atoms.

    The row of index 0 of both tables is zero, so that padding adds nothing.
    """

    def __init__(self, config: PolicyConfig, num_predicates: int, num_constants: int) -> None:
        """Makes tables of zeros.

        Args:
            config: formulas and sizes.
            num_predicates: P; the table has rows for padding, these and the three terminal predicates.
            num_constants: C; the table has rows for padding, these and ``config.max_variables``.
        """
        super().__init__()
        self._formula = config.atom_embedder
        self._divisor = config.padding_atoms if config.state_pooling == "mean" else 1
        size = config.embedding_dim
        self.predicates = nn.Parameter(torch.zeros(1 + num_predicates + 3, size))
        self.arguments = nn.Parameter(torch.zeros(1 + num_constants + config.max_variables, size))

    def embed_atoms(self, atoms: Tensor) -> Tensor:
        """Embeds atoms.

        Args:
            atoms: ``[..., 3]`` int64.

        Returns:
            ``[..., E]``.
        """
        predicate = self.predicates[atoms[..., 0]]
        first = self.arguments[atoms[..., 1]]
        second = self.arguments[atoms[..., 2]]
        if self._formula == "transe":
            return predicate + first - second
        return predicate * first * second

    def forward(self, states: Tensor) -> Tensor:
        """Embeds states.

        Args:
            states: ``[..., A, 3]`` int64.

        Returns:
            ``[..., E]``.
        """
        pooled = self.embed_atoms(states).sum(dim=-2)
        return pooled if self._divisor == 1 else pooled / self._divisor
