"""Examples of good choices, and batches of tensors from which a network learns them.

In an example, some actions of a state are right. Batches are packed: all states and actions of a batch are rows of one
array, so no time is spent on padding when one state has 3 actions and another 100. Only the logits are padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from proofrank.core.policy import PolicyNetwork
from proofrank.core.prover import State


@dataclass(frozen=True)
class Example:
    """A state in which some actions are right.

    Attributes:
        state: the goals.
        actions: the states to choose from.
        targets: indices of the right actions, at least one.
        weight: weight of its loss.
    """

    state: State
    actions: tuple[State, ...]
    targets: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Batch:
    """N examples with at most S actions each, R rows in all.

    Attributes:
        rows: ``[R, A, 3]`` int64: the state of each example, then its actions.
        state_row: ``[K]`` int64, row of the state of each of the K actions.
        action_row: ``[K]`` int64, row of each action.
        place: ``[K]`` int64, place of each action in a flat ``[N * S]``.
        is_action: ``[N, S]`` bool.
        is_target: ``[N, S]`` bool.
        weights: ``[N]`` float32, whose sum is 1.
    """

    rows: Tensor
    state_row: Tensor
    action_row: Tensor
    place: Tensor
    is_action: Tensor
    is_target: Tensor
    weights: Tensor


def pack_states(states: Sequence[State]) -> np.ndarray:
    """Returns ``[len(states), A, 3]`` int32, padded with zeros; A is the largest number of atoms."""
    num_atoms = max(len(state) for state in states)
    packed = np.zeros((len(states), num_atoms, 3), dtype=np.int32)
    for num in range(1, num_atoms + 1):
        index = [row for row, state in enumerate(states) if len(state) == num]
        if index:
            packed[index, :num] = np.array([states[row] for row in index], dtype=np.int32)
    return packed


class ExampleSet:
    """Examples as arrays, to draw batches from."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """Packs at least one example."""
        self._rows = pack_states(
            [state for example in examples for state in (example.state, *example.actions)]
        )
        self._num_actions = np.array([len(example.actions) for example in examples])
        self._start = np.concatenate([[0], np.cumsum(1 + self._num_actions)])
        # As long as the rows; the places of states are unused.
        self._is_target = np.zeros(len(self._rows), dtype=bool)
        for start, example in zip(self._start, examples, strict=False):
            self._is_target[start + 1 + np.array(example.targets)] = True
        self._weights = np.array([example.weight for example in examples], dtype=np.float32)

    def __len__(self) -> int:
        return len(self._num_actions)

    def shuffled(self, generator: np.random.Generator, most_rows: int) -> Iterator[Batch]:
        """Yields all examples once, in batches of at most ``most_rows`` rows or of one example."""
        order = generator.permutation(len(self))
        batch_of = np.cumsum(1 + self._num_actions[order]) // most_rows
        for indices in np.split(order, np.flatnonzero(np.diff(batch_of)) + 1):
            yield self._batch(indices)

    def _batch(self, indices: np.ndarray) -> Batch:
        num_actions = self._num_actions[indices]
        sizes = 1 + num_actions
        first_row = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        example_of_row = np.repeat(np.arange(len(indices)), sizes)
        offset = np.arange(sizes.sum()) - first_row[example_of_row]  # 0 for the state itself
        source = self._start[indices][example_of_row] + offset
        action_row = np.flatnonzero(offset > 0)
        example = example_of_row[action_row]
        most = int(num_actions.max())
        place = example * most + offset[action_row] - 1
        is_action = np.zeros(len(indices) * most, dtype=bool)
        is_action[place] = True
        is_target = np.zeros(len(indices) * most, dtype=bool)
        is_target[place] = self._is_target[source[action_row]]
        weights = self._weights[indices]
        return Batch(
            rows=torch.from_numpy(self._rows[source]).long(),
            state_row=torch.from_numpy(first_row[example]),
            action_row=torch.from_numpy(action_row),
            place=torch.from_numpy(place),
            is_action=torch.from_numpy(is_action.reshape(-1, most)),
            is_target=torch.from_numpy(is_target.reshape(-1, most)),
            weights=torch.from_numpy(weights / weights.sum()),
        )


def batch_logits(network: PolicyNetwork, batch: Batch) -> Tensor:
    """Returns ``[N, S]`` logits, minus infinity where there is no action."""
    vectors = network.features(batch.rows)
    logits = (vectors[batch.action_row] * vectors[batch.state_row]).sum(dim=-1) * network.logit_scale
    padded = torch.full((batch.is_action.numel(),), -torch.inf)
    return padded.index_put((batch.place,), logits).view_as(batch.is_action)


def imitation_loss(logits: Tensor, batch: Batch, evenness: float) -> Tensor:
    """Returns the loss: a mean over the examples, by their weights.

    The first part is -log of the probability of taking any target; one of them satisfies it. The second part, the
    cross-entropy with an even distribution over the targets, asks for all, so that each example teaches more.

    Args:
        logits: ``[N, S]``.
        batch: batch of the logits.
        evenness: share of the second part, from 0 to 1.
    """
    total = logits.logsumexp(dim=1)
    any_target = total - logits.masked_fill(~batch.is_target, -torch.inf).logsumexp(dim=1)
    target_sum = logits.masked_fill(~batch.is_target, 0.0).sum(dim=1)
    all_targets = total - target_sum / batch.is_target.sum(dim=1)
    return (((1 - evenness) * any_target + evenness * all_targets) * batch.weights).sum()
