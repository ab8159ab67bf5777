"""Vectors of packed states, in chunks of rows that stay in the cache.

In: states as packed atoms, ``[N, W]`` int64. Out: the network's vectors, ``[N, E]`` float. The parameters are in
    buffers
whose addresses never change; another policy of the same shape is copied into them.

A row's bits must not depend on the rows beside it. A matrix product fulfils this for whole chunks of one size, and on
the machines seen so far for every chunk of at least 16 rows; ``RowFeatures.is_row_invariant`` tests the machine. The
sigmoids of an embedding need smaller chunks (``SERIAL_ELEMENTS``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.block_operation import residual_block
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.embeddings import ADDITIVE_SIGNS
from proofrank.core.policy.network import PolicyNetwork, ResidualBlock, empty_network
from proofrank.core.policy.precision import PRECISIONS
from proofrank.core.policy.static_weights import StaticWeights
from proofrank.core.prover.packing import first_of, pack, predicate_of, second_of

CHUNK_ROWS = 512
"""Number of rows whose activations fit into a core's cache, at the usual width of 256 floats."""

ROW_MULTIPLE = 64
"""Multiple to which the last chunk is padded."""

MAX_UNROLLED_ROWS = 64
"""Maximum number of the table's rows for a state whose sum is written out for a compiler."""

SERIAL_ELEMENTS = 32768
"""Number of elements up to which torch computes an elementwise function in one piece. Larger ones it cuts for its
threads; elements beside a cut may be computed by other code, with other bits in sigmoid and tanh."""


class StateFeatures(nn.Module, ABC):
    """A network as the engines use it, applied to rows of packed states.

    Attributes:
        precision: precision of the matrix products.
        is_row_invariant: whether a row has the same bits in every chunk.
    """

    precision: str
    is_row_invariant: bool
    _static: StaticWeights | None = None

    @abstractmethod
    def weights_of(self, network: Any) -> dict[str, Tensor]:
        """Returns for each parameter and buffer of this module that ``network`` sets, by name, its value."""

    @torch.no_grad()
    def load(self, network: Any) -> None:
        """Copies the parameters of another network of the same shape into the buffers, whose addresses stay.

        Once :meth:`settle` was called, it is one copy to the device.
        """
        values = self.weights_of(network)
        if self._static is not None:
            self._static.load(values)
            return
        own = self._own_tensors()
        for name, value in values.items():
            own[name].copy_(value)

    @torch.no_grad()
    def settle(self, network: Any) -> None:
        """Puts all that ``network`` sets into one buffer of the device; to be called where the module will stay."""
        own = self._own_tensors()
        self._static = StaticWeights({name: own[name] for name in self.weights_of(network)})

    def _own_tensors(self) -> dict[str, Tensor]:
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    @property
    def num_weight_copies(self) -> int:
        """Number of copies of weights to the device since :meth:`settle`."""
        return 0 if self._static is None else self._static.num_copies

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """The factor by which a dot product of two vectors becomes a logit."""

    @property
    def is_pairwise(self) -> bool:
        """Whether a row is a pair of states with one number, its logit, and not a state with its vector."""
        return False

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """Returns the vectors ``[N, E]`` of packed states ``[N, W]`` int64; N is what :meth:`padded_rows` gives."""

    @abstractmethod
    def padded_rows(self, number: int) -> int:
        """Returns the number of rows to compute for ``number`` states."""

    @abstractmethod
    def compute_whole(self, num_rows: int) -> None:
        """Computes ``num_rows`` rows as one from now on, for a compiler, which has one copy of the network then."""

    @abstractmethod
    def compute_in_chunks(self) -> None:
        """Computes rows in chunks from now on, as at first."""

    @abstractmethod
    def fuse_blocks(self, products: str | None) -> None:
        """Computes each residual block as one kernel from now on; as defined if ``products`` is None, as at first.

        Args:
            products: one of ``proofrank.core.policy.fused_block.SPLIT_PRODUCTS``.

        Raises:
            EvaluationError: this network cannot be computed so.
        """

    @abstractmethod
    def has_same_bits_whole(self, num_rows: int) -> bool:
        """Returns whether rows have the same bits computed as one as in chunks."""

    @abstractmethod
    def flops_per_state(self) -> int:
        """Returns the number of multiplications and additions in the matrix products of one state."""

    @abstractmethod
    def num_floats(self, num_atoms: int) -> int:
        """Returns the numbers that one state of ``num_atoms`` places needs at once where rows are computed as one,
        beyond the layers of the body, estimated from above.
        """


class RowFeatures(StateFeatures):
    """The built-in network, applied to rows of packed states."""

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
        self.network = _drawn_network(
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
        self.is_elementwise_embedding = network.embedding.is_elementwise
        self.is_fused_embedding = (
            self.is_elementwise_embedding and network.config.atom_embedder in ADDITIVE_SIGNS
        )
        # Computes predicate + first - second, or with other signs, as one sum over rows of one table.
        num_rows = num_predicates + 2 * num_arguments if self.is_fused_embedding else 0
        self.register_buffer("table", torch.zeros(num_rows, network.config.embedding_dim))
        self._first_offset = num_predicates
        self._second_offset = num_predicates + num_arguments
        self.is_chunked = True
        self._split_products: str | None = None
        self._divisor = network.config.padding_atoms if network.config.state_pooling == "mean" else 1
        of_one_row = max(network.config.embedding_dim, 1) * ROW_MULTIPLE
        self._embedding_chunk = ROW_MULTIPLE * min(
            max(SERIAL_ELEMENTS // of_one_row, 1), CHUNK_ROWS // ROW_MULTIPLE
        )
        # Tested before the policy's weights are loaded, because they may make any two rows equal.
        self.is_row_invariant = self._is_row_invariant()
        self.load(network)

    def padded_rows(self, number: int) -> int:
        """See :class:`StateFeatures`."""
        return padded_rows(number, is_row_invariant=self.is_row_invariant)

    def compute_whole(self, num_rows: int) -> None:
        """See :class:`StateFeatures`."""
        self.is_chunked = False

    def compute_in_chunks(self) -> None:
        """See :class:`StateFeatures`."""
        self.is_chunked = True

    def fuse_blocks(self, products: str | None) -> None:
        """See :class:`StateFeatures`."""
        if products is not None:
            # Imported here: it imports triton, which others need not wait for.
            from proofrank.core.policy.fused_block import constants_of

            constants_of(self.config.hidden_dim, products)
            if self.precision != "float32":
                raise EvaluationError(
                    f"fused residual blocks have the precision float32, not {self.precision!r}"
                )
        self._split_products = products

    def num_floats(self, num_atoms: int) -> int:
        """See :class:`StateFeatures`."""
        return self.network.embedding.num_floats(num_atoms)

    def weights_of(self, network: PolicyNetwork) -> dict[str, Tensor]:
        """See :class:`StateFeatures`."""
        values = {f"network.{name}": value.detach() for name, value in network.state_dict().items()}
        if self.is_fused_embedding:
            embedding = network.embedding
            sign_of_first, sign_of_second = ADDITIVE_SIGNS[self.config.atom_embedder]
            arguments = embedding.arguments.detach()
            values["table"] = torch.cat(
                [embedding.predicates.detach(), sign_of_first * arguments, sign_of_second * arguments]
            )
        return values

    @property
    def logit_scale(self) -> float:
        """The factor by which a dot product of two vectors becomes a logit."""
        return self.network.logit_scale

    def embed(self, states: Tensor) -> Tensor:
        """Returns the embeddings ``[N, E]`` of packed states ``[N, W]`` int64; N is a multiple of ``ROW_MULTIPLE``."""
        if not self.is_elementwise_embedding and self.is_chunked and len(states) > self._embedding_chunk:
            return torch.cat([self.embed(chunk) for chunk in states.split(self._embedding_chunk)])
        predicate, first, second = predicate_of(states), first_of(states), second_of(states)
        if not self.is_fused_embedding:
            return self.network.embedding(torch.stack([predicate, first, second], dim=-1))
        rows = (predicate, first + self._first_offset, second + self._second_offset)
        table = self.get_buffer("table")
        if self.is_chunked or 3 * states.shape[1] > MAX_UNROLLED_ROWS:
            pooled = functional.embedding_bag(torch.cat(rows, dim=1), table, mode="sum")
        else:
            # In the order of the bag, so with the same bits; a compiler makes one launch of it instead of three.
            first_row, *others = (column for part in rows for column in part.unbind(dim=1))
            pooled = table[first_row]
            for row in others:
                pooled = pooled + table[row]
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
            if self._split_products is not None:
                hidden = residual_block(hidden, block, self._split_products)
                continue
            hidden += block.norm(functional.relu_(product(block.linear, hidden)))
        vectors = product(network.head_output, functional.relu_(product(network.head_hidden, hidden)))
        return functional.normalize(vectors, dim=-1) if self.config.l2_norm else vectors

    def _product(self, linear: nn.Linear, rows: Tensor) -> Tensor:
        """Applies ``linear`` to float ``rows`` in the chosen precision."""
        if self.precision == "bfloat16":
            return linear(rows.bfloat16()).float()
        return linear(rows)

    def _products(self) -> list[nn.Linear]:
        """Returns the matrix products of body and head; those of an embedding are float32 in each precision."""
        of_embedding = set(self.network.embedding.modules())
        return [
            module
            for module in self.network.modules()
            if isinstance(module, nn.Linear) and module not in of_embedding
        ]

    def flops_per_state(self) -> int:
        """Returns the number of multiplications and additions in the matrix products of one state."""
        of_body_and_head = sum(2 * product.in_features * product.out_features for product in self._products())
        return of_body_and_head + self.network.embedding.flops_per_state()

    @torch.inference_mode()
    def _is_row_invariant(self) -> bool:
        """Returns whether a row has the same bits in a short chunk, in a whole one, and at another place in it."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(CHUNK_ROWS, self.config.embedding_dim, generator=generator)
        if not self._has_same_bits_in_chunks(self.transform, rows):
            return False
        if self.is_elementwise_embedding:
            return True
        for table in (self.network.embedding.predicates, self.network.embedding.arguments):
            table.copy_(torch.randn(table.shape, generator=generator))
        return self._has_same_bits_in_chunks(self.embed, self._random_states(CHUNK_ROWS, generator))

    @staticmethod
    def _has_same_bits_in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor) -> bool:
        whole = function(rows)
        turned = function(rows.roll(CHUNK_ROWS // 2 + 1, dims=0)).roll(-(CHUNK_ROWS // 2 + 1), dims=0)
        short = [function(rows[:number]) for number in range(ROW_MULTIPLE, CHUNK_ROWS, ROW_MULTIPLE)]
        return torch.equal(whole, turned) and all(torch.equal(whole[: len(part)], part) for part in short)

    def _random_states(self, num_rows: int, generator: torch.Generator) -> Tensor:
        """Returns packed states ``[num_rows, padding_atoms]`` int64 of any predicates and arguments."""
        embedding, shape = self.network.embedding, (num_rows, self.config.padding_atoms)
        predicate = torch.randint(embedding.predicates.shape[0], shape, generator=generator)
        first, second = (
            torch.randint(embedding.arguments.shape[0], shape, generator=generator) for _ in range(2)
        )
        return pack(predicate, first, second)

    @torch.inference_mode()
    def has_same_bits_whole(self, num_rows: int) -> bool:
        """Returns whether one product gives ``num_rows`` rows, a multiple of ``CHUNK_ROWS``, the same bits as chunks
        do.
        """
        generator = torch.Generator().manual_seed(0)
        device = self.get_buffer("table").device
        rows = torch.randn(num_rows, self.config.embedding_dim, generator=generator).to(device)
        chunks = [self.transform(chunk) for chunk in rows.split(CHUNK_ROWS)]
        if not torch.equal(self.transform(rows), torch.cat(chunks)):
            return False
        if self.is_elementwise_embedding:
            return True
        states = self._random_states(num_rows, generator).to(device)
        chunks = [self.embed(chunk) for chunk in states.split(self._embedding_chunk)]
        is_chunked, self.is_chunked = self.is_chunked, False
        try:
            return torch.equal(self.embed(states), torch.cat(chunks))
        finally:
            self.is_chunked = is_chunked


def padded_rows(number: int, *, is_row_invariant: bool = True) -> int:
    """Returns the number of rows to compute for ``number`` states."""
    multiple = ROW_MULTIPLE if is_row_invariant else CHUNK_ROWS
    return -(-max(number, 1) // multiple) * multiple


@torch.no_grad()
def _drawn_network(config: PolicyConfig, num_predicates: int, num_constants: int) -> PolicyNetwork:
    """Makes a network with random weights of a generator of its own, so that the caller's goes on as it was."""
    network = empty_network(config, num_predicates, num_constants)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        bound = 1.0 / max(parameter.shape[-1], 1) ** 0.5
        parameter.uniform_(-bound, bound, generator=generator)
    return network
