"""Vectors of packed states, in chunks of rows that stay in the cache.

In: states as packed atoms, ``[N, W]`` int64. Out: the network's vectors, ``[N, E]`` float. The parameters are in
    buffers
whose addresses never change; another policy of the same shape is copied into them.

A row's bits must not depend on the rows beside it. A matrix product fulfils this for whole chunks of one size, and on
the machines seen so far for every chunk of at least 16 rows; ``RowFeatures.is_row_invariant`` tests the machine.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.network import PolicyNetwork, ResidualBlock
from proofrank.core.policy.precision import PRECISIONS
from proofrank.core.prover.packing import first_of, predicate_of, second_of

CHUNK_ROWS = 512
"""Number of rows whose activations fit into a core's cache, at the usual width of 256 floats."""

ROW_MULTIPLE = 64
"""Multiple to which the last chunk is padded."""


class RowFeatures(nn.Module):
    """The network, applied to rows of packed states."""

    def __init__(self, network: PolicyNetwork, precision: str = "float32") -> None:
        """Copies the parameters of ``network``; later changes go through :meth:`load`.

        Args:
            network: network whose parameters are copied.
            precision: precision of the matrix products, one of ``proofrank.core.policy.precision.PRECISIONS``; with
                ``tf32``, all calls must be within ``matrix_products_in``.

        Raises:
            EvaluationError: there is no such precision.
        """
        super().__init__()
        if precision not in PRECISIONS:
            raise EvaluationError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
        self.precision = precision
        self.config = network.config
        self.network = PolicyNetwork(
            network.config,
            network.embedding.predicates.shape[0] - 4,
            network.embedding.arguments.shape[0] - 1 - network.config.max_variables,
        )
        self.network.requires_grad_(False).eval()
        if precision == "bfloat16":
            for module in self._products():
                module.bfloat16()
        num_predicates = network.embedding.predicates.shape[0]
        num_arguments = network.embedding.arguments.shape[0]
        # Computes predicate + first - second as one sum over rows of one table.
        self.register_buffer(
            "table", torch.zeros(num_predicates + 2 * num_arguments, network.config.embedding_dim)
        )
        self._first_offset = num_predicates
        self._second_offset = num_predicates + num_arguments
        self.is_chunked = True
        self._divisor = network.config.padding_atoms if network.config.state_pooling == "mean" else 1
        # Tested before the policy's weights are loaded, because they may make any two rows equal.
        self.is_row_invariant = self._is_row_invariant()
        self.is_fused_embedding = network.config.atom_embedder == "transe"
        self.load(network)

    @torch.no_grad()
    def load(self, network: PolicyNetwork) -> None:
        """Copies the parameters of another network of the same shape into the buffers."""
        self.network.load_state_dict(network.state_dict())
        embedding = self.network.embedding
        table = self.get_buffer("table")
        table[: self._first_offset] = embedding.predicates
        table[self._first_offset : self._second_offset] = embedding.arguments
        table[self._second_offset :] = -embedding.arguments

    @property
    def logit_scale(self) -> float:
        """The factor by which a dot product of two vectors becomes a logit."""
        return self.network.logit_scale

    def embed(self, states: Tensor) -> Tensor:
        """Returns the embeddings ``[N, E]`` of packed states ``[N, W]`` int64."""
        predicate, first, second = predicate_of(states), first_of(states), second_of(states)
        if not self.is_fused_embedding:
            return self.network.embedding(torch.stack([predicate, first, second], dim=-1))
        index = torch.cat([predicate, first + self._first_offset, second + self._second_offset], dim=1)
        pooled = functional.embedding_bag(index, self.get_buffer("table"), mode="sum")
        return pooled if self._divisor == 1 else pooled / self._divisor

    def forward(self, states: Tensor) -> Tensor:
        """Returns the vectors ``[N, E]`` of packed states ``[N, W]`` int64; N is a multiple of ``ROW_MULTIPLE``."""
        embedded = self.embed(states)
        if not self.is_chunked:
            return self.transform(embedded)
        chunks = [self.transform(chunk) for chunk in embedded.split(CHUNK_ROWS)]
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def transform(self, embedded: Tensor) -> Tensor:
        """Applies body and head of the network: embeddings ``[n, E]`` to vectors ``[n, E]``."""
        network, product = self.network, self._product
        # In place, so that fewer activations use the cache: saves 4 % of the time on a CPU, with the same bits.
        hidden = network.body_norm(functional.relu_(product(network.body_input, embedded)))
        for block in network.body_blocks:
            assert isinstance(block, ResidualBlock)
            hidden += block.norm(functional.relu_(product(block.linear, hidden)))
        vectors = product(network.head_output, functional.relu_(product(network.head_hidden, hidden)))
        return functional.normalize(vectors, dim=-1) if self.config.l2_norm else vectors

    def _product(self, linear: nn.Linear, rows: Tensor) -> Tensor:
        """Applies ``linear`` to float ``rows`` in the chosen precision."""
        if self.precision == "bfloat16":
            return linear(rows.bfloat16()).float()
        return linear(rows)

    def _products(self) -> list[nn.Linear]:
        """Returns the layers of the network that are matrix products."""
        return [module for module in self.network.modules() if isinstance(module, nn.Linear)]

    def flops_per_state(self) -> int:
        """Returns the number of multiplications and additions in the matrix products of one state."""
        return sum(2 * product.in_features * product.out_features for product in self._products())

    @torch.inference_mode()
    def _is_row_invariant(self) -> bool:
        """Returns whether a row has the same bits in a short chunk, in a whole one, and at another place in it."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(CHUNK_ROWS, self.config.embedding_dim, generator=generator)
        whole = self.transform(rows)
        turned = self.transform(rows.roll(CHUNK_ROWS // 2 + 1, dims=0)).roll(-(CHUNK_ROWS // 2 + 1), dims=0)
        short = [self.transform(rows[:number]) for number in range(ROW_MULTIPLE, CHUNK_ROWS, ROW_MULTIPLE)]
        return torch.equal(whole, turned) and all(torch.equal(whole[: len(part)], part) for part in short)

    @torch.inference_mode()
    def has_same_bits_whole(self, num_rows: int) -> bool:
        """Returns whether one product gives ``num_rows`` rows, a multiple of ``CHUNK_ROWS``, the same bits as chunks
        do.
        """
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(num_rows, self.config.embedding_dim, generator=generator)
        rows = rows.to(self.get_buffer("table").device)
        chunks = [self.transform(chunk) for chunk in rows.split(CHUNK_ROWS)]
        return torch.equal(self.transform(rows), torch.cat(chunks))


def padded_rows(number: int, *, is_row_invariant: bool = True) -> int:
    """Returns the number of rows to compute for ``number`` states."""
    multiple = ROW_MULTIPLE if is_row_invariant else CHUNK_ROWS
    return -(-max(number, 1) // multiple) * multiple
