"""Embeds atoms and states.

In: atoms by indices, ``[..., A, 3]`` int64, padding rows all zero. Out: states, ``[..., E]`` float.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.layers import Attention, GruCell

ADDITIVE_SIGNS = {"transe": (1.0, -1.0), "sum": (-1.0, -1.0)}
"""Signs of the two arguments in the atom embedders that add to the predicate."""


class StateEmbedding(nn.Module):
    """Tables of predicates and of constants with variables, an atom formula, and a pooling over a state's places.

    The row of index 0 of both tables is zero. So an empty place is zero with the formulas that only add or multiply.
    With the others it has a value and counts; ``config.padding_atoms`` says how many places there are.
    """

    def __init__(self, config: PolicyConfig, num_predicates: int, num_constants: int) -> None:
        """Makes tables of zeros.

        Args:
            config: formulas and sizes.
            num_predicates: P; the table has rows for padding, these and the three terminal predicates.
            num_constants: C; the table has rows for padding, these and ``config.max_variables``.
        """
        super().__init__()
        self._config = config
        size = config.embedding_dim
        self.predicates = nn.Parameter(torch.zeros(1 + num_predicates + 3, size))
        self.arguments = nn.Parameter(torch.zeros(1 + num_constants + config.max_variables, size))
        if config.atom_embedder == "rnn":
            self.atom_gru = GruCell(size)
        elif config.atom_embedder in ("transformer", "attention"):
            heads = config.attention_heads if config.atom_embedder == "attention" else 1
            self.atom_attention = Attention(size, heads)
        if config.state_pooling == "rnn":
            self.state_gru = GruCell(size)
        elif config.state_pooling == "transformer":
            self.state_query = nn.Parameter(torch.randn(1, size))
            self.state_attention = Attention(size, 1)

    @property
    def is_elementwise(self) -> bool:
        """Whether there is no matrix product in the embedding, and empty places are zero."""
        return self._has_plain_atoms and self._config.state_pooling in ("sum", "mean")

    @property
    def _has_plain_atoms(self) -> bool:
        return self._config.atom_embedder in ("distmult", *ADDITIVE_SIGNS)

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
        formula = self._config.atom_embedder
        if formula == "transe":
            return predicate + first - second
        if formula == "sum":
            return predicate - (first + second)
        if formula == "distmult":
            return predicate * first * second
        if formula == "rnn":
            return self.atom_gru(second, self.atom_gru(first, predicate))
        return self.atom_attention(predicate, (first, second), (None, None))

    def forward(self, states: Tensor) -> Tensor:
        """Embeds states.

        Args:
            states: ``[..., A, 3]`` int64.

        Returns:
            ``[..., E]``.
        """
        if self.is_elementwise:
            return self._mean_or_sum(self.embed_atoms(states).sum(dim=-2))
        flat = states.reshape(-1, *states.shape[-2:])
        missing = self._config.padding_atoms - flat.shape[1]
        if missing > 0:
            flat = torch.cat([flat, flat.new_zeros(flat.shape[0], missing, 3)], dim=1)
        pooled = self._pool(
            # Place by place: each product then has as many rows as there are states, which the chunks are made for.
            [self.embed_atoms(flat[:, place]) for place in range(flat.shape[1])],
            [
                None if place < self._config.padding_atoms else flat[:, place, 0] != 0
                for place in range(flat.shape[1])
            ],
        )
        return pooled.reshape(*states.shape[:-2], pooled.shape[-1])

    def _pool(self, atoms: list[Tensor], is_read: list[Tensor | None]) -> Tensor:
        """Pools the atoms of states.

        Args:
            atoms: for each place ``[N, E]``.
            is_read: for each place ``[N]`` bool, the states that have it; None for all.

        Returns:
            ``[N, E]``.
        """
        if self._config.state_pooling == "transformer":
            return self.state_attention(self.state_query, atoms, is_read)
        pooled = torch.zeros_like(atoms[0])
        for atom, mask in zip(atoms, is_read, strict=True):
            changed = self.state_gru(atom, pooled) if self._config.state_pooling == "rnn" else pooled + atom
            pooled = changed if mask is None else torch.where(mask.unsqueeze(-1), changed, pooled)
        return self._mean_or_sum(pooled)

    def _mean_or_sum(self, pooled: Tensor) -> Tensor:
        return pooled / self._config.padding_atoms if self._config.state_pooling == "mean" else pooled

    def num_floats(self, num_atoms: int) -> int:
        """Returns the numbers that one state of ``num_atoms`` places needs at once, estimated from above."""
        if self.is_elementwise:
            return 0
        return max(num_atoms, self._config.padding_atoms) * 8 * self._config.embedding_dim

    def flops_per_state(self) -> int:
        """Returns the number of multiplications and additions in the matrix products of one state's embedding."""
        arguments = {"rnn": 2, "transformer": 2, "attention": 2}.get(self._config.atom_embedder, 0)
        total = 0
        for name, module in self.named_modules():
            if not isinstance(module, nn.Linear):
                continue
            is_of_atom, part = name.startswith("atom_"), name.rpartition(".")[2]
            times = self._config.padding_atoms
            if is_of_atom and part not in ("query", "output"):
                times *= arguments
            elif not is_of_atom and part in ("query", "output"):
                times = 1
            total += 2 * times * module.in_features * module.out_features
        return total
