"""The least floating-point operations and bytes of a tick, counted from its shapes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from proofrank.core.evaluator.tick import Tick
from proofrank.core.policy.features import RowFeatures


def network_flops(features: RowFeatures, num_states: int) -> int:
    """Returns the multiplications and additions of the matrix products for ``num_states`` states."""
    return num_states * features.flops_per_state()


def network_bytes(features: RowFeatures, num_states: int, working_atoms: int) -> int:
    """Returns the bytes that the network moves for ``num_states`` states of ``working_atoms`` atoms.

    States and their embeddings are read. Every product reads its input and its weights and writes its output, with
    everything else fused into it.
    """
    config = features.config
    products = [module for module in features.network.modules() if isinstance(module, nn.Linear)]
    bytes_per_state = working_atoms * 8 + 3 * working_atoms * config.embedding_dim * 4
    bytes_per_state += sum(
        (product.in_features + product.out_features) * product.weight.element_size() for product in products
    )
    weights = sum(_bytes_of(list(product.parameters())) for product in products)
    return num_states * bytes_per_state + weights


def bookkeeping_bytes(tick: Tick) -> int:
    """Returns the bytes that the rest of a tick moves: lanes are read and written, every row's atoms are written and
    read, and its lane's atoms and visited hashes are read.
    """
    capacities = tick.environment.capacities
    working_atoms = tick.environment.engine.working_atoms
    num_visited = tick.buffers.lanes.visited_hash.shape[1]
    bytes_per_row = 8 * (3 * working_atoms + num_visited)
    return 2 * _bytes_of(tick.buffers.lanes) + capacities.num_rows * bytes_per_row


def _bytes_of(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
