"""A gated recurrent unit and attention, written so that a row's bits do not depend on its neighbours.

Each operation is a matrix product over rows, elementwise, or a sum or softmax within a row. torch's own layers choose
other kernels for other numbers of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GruCell(nn.Module):
    """One step of a gated recurrent unit (Cho et al. 2014), with the gates in torch's order: reset, update, new."""

    def __init__(self, size: int) -> None:
        """Makes a cell whose input and state have ``size`` numbers."""
        super().__init__()
        self.input = nn.Linear(size, 3 * size)
        self.hidden = nn.Linear(size, 3 * size)

    def forward(self, read: Tensor, state: Tensor) -> Tensor:
        """Returns the state after reading; all ``[N, size]``."""
        reset_in, update_in, new_in = self.input(read).chunk(3, dim=-1)
        reset_state, update_state, new_state = self.hidden(state).chunk(3, dim=-1)
        reset = torch.sigmoid(reset_in + reset_state)
        update = torch.sigmoid(update_in + update_state)
        new = torch.tanh(new_in + reset * new_state)
        return new + update * (state - new)


class Attention(nn.Module):
    """Scaled dot-product attention of one query to a few places (Vaswani et al. 2017)."""

    def __init__(self, size: int, num_heads: int) -> None:
        """Makes the projections.

        Args:
            size: numbers of a query, a place and the result.
            num_heads: heads; they divide ``size``.
        """
        super().__init__()
        self._heads = (num_heads, size // num_heads)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)

    def forward(self, query: Tensor, places: Sequence[Tensor], is_read: Sequence[Tensor | None]) -> Tensor:
        """Attends to the places.

        Args:
            query: ``[N, size]``, or ``[1, size]`` for the same query in all rows.
            places: each ``[N, size]``.
            is_read: for each place ``[N]`` bool, the rows that read it; None for all.

        Returns:
            ``[N, size]``.
        """
        queries = self._by_head(self.query(query))
        scale = 1.0 / math.sqrt(self._heads[1])
        scores = []
        for place, mask in zip(places, is_read, strict=True):
            score = (queries * self._by_head(self.key(place))).sum(dim=-1) * scale
            scores.append(score if mask is None else score.masked_fill(~mask.unsqueeze(-1), -math.inf))
        weights = torch.softmax(torch.stack(scores, dim=-1), dim=-1)
        attended = torch.zeros((), device=query.device)
        for index, place in enumerate(places):
            attended = attended + weights[..., index, None] * self._by_head(self.value(place))
        return self.output(attended.flatten(start_dim=-2))

    def _by_head(self, rows: Tensor) -> Tensor:
        """Returns ``[N, size]`` as ``[N, heads, size / heads]``."""
        return rows.unflatten(-1, self._heads)
