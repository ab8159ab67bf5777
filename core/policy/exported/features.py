"""An exported network as the engines use it: on packed states, in tiles of ``TILE_ROWS`` rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.exported.checking import TILE_ROWS, elements_of_a_row, flops_of_a_row
from proofrank.core.policy.exported.network import ExportedNetwork
from proofrank.core.policy.exported.program import Program, graph_of
from proofrank.core.policy.exported.rows import differing_company, random_inputs
from proofrank.core.policy.features import RowFeatures, StateFeatures
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.prover.packing import first_of, predicate_of, second_of

_FEW = 2
"""Number of indices that every network knows: padding and one more."""


class ExportedFeatures(StateFeatures):
    """An exported network, applied to rows of packed states, or of pairs of them side by side.

    All tiles have the same number of rows, so that all kernels are the same, whatever the number of states.
    """

    def __init__(self, network: ExportedNetwork, precision: str = "float32") -> None:
        """Copies the weights of ``network``; later changes go through :meth:`load`.

        Args:
            network: network whose weights are copied.
            precision: ``float32`` or ``tf32``.

        Raises:
            EvaluationError: the precision is another; or on this machine, with this number of threads, a row has
                other bits in other company.
        """
        super().__init__()
        if precision == "bfloat16":
            raise EvaluationError(
                "precision 'bfloat16' is not for a network of one's own; expected float32, or tf32 on a CUDA device"
            )
        self.precision = precision
        self.config = network.config
        self.program: Program = network.program
        self.tile = graph_of(network.program, TILE_ROWS)
        self.whole = nn.ModuleDict()
        for place, weight in enumerate(network.weights()):
            self.register_buffer(f"weight_{place}", weight.clone())
        self._is_whole = False
        self.is_row_invariant = True
        self._check_rows(network.num_arguments)

    def _check_rows(self, num_arguments: int) -> None:
        weights = self._weights()

        def make_inputs(generator: torch.Generator) -> list[Tensor]:
            return random_inputs(self.program, _FEW, num_arguments, generator)

        differing = differing_company(lambda *inputs: self.tile(*inputs, *weights), make_inputs)
        if differing is not None:
            raise EvaluationError(
                f"on this machine, with {torch.get_num_threads()} threads, a state {differing.company} gets other "
                "bits from the network than in its own batch; use one thread"
            )

    def _weights(self) -> list[Tensor]:
        return [self.get_buffer(f"weight_{place}") for place in range(len(self.program.weights))]

    def weights_of(self, network: ExportedNetwork) -> dict[str, Tensor]:
        """See :class:`StateFeatures`."""
        return {f"weight_{place}": weight.detach() for place, weight in enumerate(network.weights())}

    def fuse_blocks(self, products: str | None) -> None:
        """See :class:`StateFeatures`."""
        if products is not None:
            raise EvaluationError(
                "a network of one's own has no residual blocks that can be fused; expected another engine"
            )

    @property
    def logit_scale(self) -> float:
        """See :class:`StateFeatures`."""
        return self.config.logit_scale

    @property
    def is_pairwise(self) -> bool:
        """See :class:`StateFeatures`."""
        return self.program.maps == "pairs"

    def forward(self, states: Tensor) -> Tensor:
        """See :class:`StateFeatures`; of pairs, ``[N, 2 W]`` to ``[N, 1]``: first the state, then the action."""
        parts = states.chunk(2, dim=1) if self.is_pairwise else (states,)
        inputs = [self._unpacked(part) for part in parts]
        weights = self._weights()
        # Other numbers of rows than those of the compiled ticks occur: `[Endf]` has a vector of its own.
        if self._is_whole and str(len(states)) in self.whole:
            result = self.whole[str(len(states))](*inputs, *weights)
        else:
            tiles = zip(*[given.split(TILE_ROWS) for given in inputs], strict=True)
            result = torch.cat([self.tile(*tile, *weights) for tile in tiles])
        return result.unsqueeze(1) if self.is_pairwise else result

    def _unpacked(self, states: Tensor) -> Tensor:
        """Returns packed states ``[N, W]`` as ``[N, A, 3]``."""
        atoms = torch.stack([predicate_of(states), first_of(states), second_of(states)], dim=-1)
        return functional.pad(atoms, (0, 0, 0, self.program.num_atoms - states.shape[-1]))

    def padded_rows(self, number: int) -> int:
        """See :class:`StateFeatures`."""
        return -(-max(number, 1) // TILE_ROWS) * TILE_ROWS

    def compute_whole(self, num_rows: int) -> None:
        """See :class:`StateFeatures`."""
        if str(num_rows) not in self.whole:
            device = next((weight.device for weight in self._weights()), None)
            self.whole[str(num_rows)] = graph_of(self.program, num_rows).to(device)
        self._is_whole = True

    def compute_in_chunks(self) -> None:
        """See :class:`StateFeatures`."""
        self._is_whole = False

    @torch.inference_mode()
    def has_same_bits_whole(self, num_rows: int) -> bool:
        """See :class:`StateFeatures`."""
        generator = torch.Generator().manual_seed(0)
        tiles = [random_inputs(self.program, _FEW, _FEW, generator) for _ in range(0, num_rows, TILE_ROWS)]
        weights = self._weights()
        inputs = [torch.cat(parts).to(weights[0].device) for parts in zip(*tiles, strict=True)]
        whole = graph_of(self.program, num_rows).to(weights[0].device)(*inputs, *weights)
        split = zip(*[given.split(TILE_ROWS) for given in inputs], strict=True)
        return torch.equal(whole, torch.cat([self.tile(*tile, *weights) for tile in split]))

    def flops_per_state(self) -> int:
        """See :class:`StateFeatures`."""
        return flops_of_a_row(self.program)

    def num_floats(self, num_atoms: int) -> int:
        """See :class:`StateFeatures`."""
        return elements_of_a_row(self.program)


def features_of(network: PolicyNetwork | ExportedNetwork, precision: str = "float32") -> StateFeatures:
    """Returns a network as the engines use it.

    Args:
        network: network whose parameters are copied.
        precision: precision of the matrix products, one of ``proofrank.core.policy.precision.PRECISIONS``.

    Raises:
        EvaluationError: the network cannot be computed exactly in this precision or on this machine.
    """
    if isinstance(network, ExportedNetwork):
        return ExportedFeatures(network, precision)
    return RowFeatures(network, precision)
