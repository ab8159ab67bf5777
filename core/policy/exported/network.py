"""The network of an exported program, in tiles of a fixed number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.exported.checking import TILE_ROWS
from proofrank.core.policy.exported.program import Maps, Program, graph_of


@dataclass(frozen=True)
class ExportedConfig:
    """Shape of an exported network: all but its weights.

    Attributes:
        maps: ``states`` to vectors, or ``pairs`` of a state and an action to logits.
        num_atoms: A, the places of a state.
        embedding_dim: E, size of a vector; 1 for pairs.
        logit_scale: factor by which a dot product of two vectors, or the number of a pair, becomes a logit.
        max_variables: number of run-time variables that the network knows.
        num_nodes: operations, weights and inputs.
        program_sha256: of the program: its operations, shapes and numbers.
    """

    maps: Maps
    num_atoms: int
    embedding_dim: int
    logit_scale: float
    max_variables: int
    num_nodes: int
    program_sha256: str

    @property
    def summary(self) -> str:
        """A few words on it: what it maps, and sizes."""
        return f"exported-{self.maps}-{self.embedding_dim}x{self.num_nodes}"

    @property
    def hidden_dim(self) -> int:
        """0: the memory of a tile is small, and counted with the embedding where all rows are computed at once."""
        return 0


class ExportedNetwork(nn.Module):
    """A network that was exported from a module of somebody's code; nothing of that code is in it."""

    def __init__(
        self,
        config: ExportedConfig,
        program: Program,
        weights: Mapping[str, Tensor],
        num_arguments: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Makes the network.

        Args:
            config: of the program.
            program: checked.
            weights: by name; they are not copied.
            num_arguments: indices of arguments that the network knows: padding, constants and variables.
            dtype: of the floats.
        """
        super().__init__()
        self.config = config
        self.program = program
        self.num_arguments = num_arguments
        self.tile = graph_of(program, TILE_ROWS, dtype)
        for place, node in enumerate(program.weights):
            tensor = weights[node.tensor]
            if tensor.dtype == torch.float32:
                tensor = tensor.to(dtype)
            if tensor.is_floating_point():
                self.register_parameter(f"weight_{place}", nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(f"weight_{place}", tensor)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next((weight.device for weight in self.weights()), torch.device("cpu"))

    @property
    def logit_scale(self) -> float:
        """The factor by which a dot product, or the number of a pair, becomes a logit."""
        return self.config.logit_scale

    def weights(self) -> list[Tensor]:
        """Returns parameters and constants, in the order of the program."""
        return [getattr(self, f"weight_{place}") for place in range(len(self.program.weights))]

    def named_weights(self) -> dict[str, Tensor]:
        """Returns parameters and constants by the names that they have in a file of weights."""
        return {
            node.tensor: weight for node, weight in zip(self.program.weights, self.weights(), strict=True)
        }

    def in_dtype(self, dtype: torch.dtype) -> ExportedNetwork:
        """Returns a copy that computes in ``dtype``, float32 or float64."""
        weights = {name: weight.clone() for name, weight in self.named_weights().items()}
        return ExportedNetwork(self.config, self.program, weights, self.num_arguments, dtype)

    def features(self, states: Tensor) -> Tensor:
        """Returns the vectors ``[N, E]`` of states ``[N, A, 3]`` int64, padded with zeros; A may be less here."""
        return self._in_tiles(self._with_all_places(states))

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """Returns the logits of one state's actions.

        Args:
            state: ``[A, 3]`` int64.
            actions: ``[S, A, 3]`` int64.

        Returns:
            ``[S]``.

        Raises:
            EvaluationError: the states have more atoms than the network has places.
        """
        if self.config.maps == "states":
            vectors = self.features(torch.cat([state.unsqueeze(0), actions]))
            # As the engines do: a sum within each row.
            return (vectors[1:] * vectors[0]).sum(dim=1) * self.logit_scale
        actions = self._with_all_places(actions)
        states = self._with_all_places(state.unsqueeze(0)).expand_as(actions)
        return self._in_tiles(states, actions) * self.logit_scale

    def _with_all_places(self, states: Tensor) -> Tensor:
        missing = self.config.num_atoms - states.shape[1]
        if missing < 0:
            raise EvaluationError(
                f"a state has {states.shape[1]} atoms; the policy takes at most {self.config.num_atoms}"
            )
        return nn.functional.pad(states, (0, 0, 0, missing))

    def _in_tiles(self, *inputs: Tensor) -> Tensor:
        """Returns the results for inputs of any number of rows."""
        weights, num_rows = self.weights(), len(inputs[0])
        results = []
        for start in range(0, num_rows, TILE_ROWS):
            tiles = [given[start : start + TILE_ROWS] for given in inputs]
            missing = TILE_ROWS - len(tiles[0])
            tiles = [nn.functional.pad(tile, (0, 0, 0, 0, 0, missing)) for tile in tiles]
            results.append(self.tile(*tiles, *weights))
        return torch.cat(results)[:num_rows]
