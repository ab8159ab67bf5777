"""Gives logits to states of plain tuples, for the reference prover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.prover import State


class StateScorer:
    """Computes the logits of a state's actions, by one pass of the network over state and actions."""

    def __init__(self, network: PolicyNetwork | ExportedNetwork) -> None:
        self._network = network
        self._num_arguments = network.num_arguments

    @torch.inference_mode()
    def __call__(self, state: State, actions: Sequence[State]) -> list[float]:
        """Returns the logits of ``actions`` in ``state``.

        Raises:
            EvaluationError: a variable has no embedding, a state has too many atoms, or a logit is not finite.
        """
        states = (state, *actions)
        num_atoms = max(len(atoms) for atoms in states)
        indices = np.zeros((len(states), num_atoms, 3), dtype=np.int64)
        for row, atoms in enumerate(states):
            indices[row, : len(atoms)] = atoms
        largest = int(indices[:, :, 1:].max())
        if largest >= self._num_arguments:
            raise EvaluationError(
                f"variable {largest} has no embedding: the policy has {self._num_arguments} arguments, "
                f"{self._network.config.max_variables} of them variables"
            )
        tensor = torch.from_numpy(indices).to(self._network.device)
        logits = self._network(tensor[0], tensor[1:])
        if not bool(torch.isfinite(logits).all()):
            raise EvaluationError("the policy gives a logit that is not finite")
        return logits.tolist()
