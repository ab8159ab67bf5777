"""Trains a network to choose like the search: in rounds of roll-outs that give examples, and epochs over them.

In every round the policy is rolled out as it is then, so that it learns what to do in the states that it reaches, also
by its own mistakes (as in DAgger: Ross, Gordon and Bagnell 2011). One seed decides everything random; on one machine
with one thread the weights are the same to the bit.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from proofrank.core.graph import PADDING, Dataset, Vocabulary
from proofrank.core.policy import PolicyConfig, PolicyNetwork
from proofrank.core.policy.untrained import drawn_network
from proofrank.core.prover import ProverSettings
from proofrank.training.batches import Example, ExampleSet, batch_logits, imitation_loss
from proofrank.training.examples import ExampleCollector
from proofrank.training.options import TrainingOptions
from proofrank.training.rollout import exploring, logits_of_network
from proofrank.training.state import Examples, TrainingState, read_state, write_state

_WARM_UP_STEPS = 200
_MOST_GRADIENT_NORM = 1.0


class Progress(Protocol):
    """Receives the progress of a training."""

    def collecting(self, round_index: int, done: int, total: int) -> None:
        """Is called when ``done`` of ``total`` candidates of a round are rolled out."""
        ...

    def learning(self, round_index: int, epoch: int, num_examples: int, loss: float) -> None:
        """Is called after an epoch of a round, with its mean ``loss``."""
        ...


def untrained_network(
    config: PolicyConfig, vocabulary: Vocabulary, seed: int, embedding_scale: float
) -> PolicyNetwork:
    """Makes a network with random weights, in evaluation mode and without gradients.

    Args:
        config: shape of the network.
        vocabulary: vocabulary to embed.
        seed: seed of the weights.
        embedding_scale: standard deviation of the embeddings.
    """
    torch.manual_seed(seed)
    return drawn_network(config, vocabulary, embedding_scale)


def train(
    dataset: Dataset,
    config: PolicyConfig,
    settings: ProverSettings,
    options: TrainingOptions,
    progress: Progress,
    state_file: Path | None = None,
) -> PolicyNetwork:
    """Trains a network on the train triples of ``dataset``.

    Args:
        dataset: the graph.
        config: shape of the network.
        settings: settings of the prover.
        options: options of the training.
        progress: receives the progress.
        state_file: file to which the training is written after each round, and from which it goes on if it is there;
            None for neither.

    Returns:
        The network, in evaluation mode and without gradients.

    Raises:
        ValueError: the search finds no proof of any train triple, so there is nothing to imitate.
        ProofrankError: the file is of another training.
    """
    start = time.monotonic()
    network = untrained_network(config, dataset.vocabulary, options.seed, options.embedding_scale)
    collector = ExampleCollector(dataset, settings, options)
    learner = _Learner(network, options)
    identity = _identity(dataset, config, settings, options)
    num_done = 0
    if state_file is not None and (state := read_state(state_file, identity)) is not None:
        network.load_state_dict(state.network)
        learner.go_on(state)
        collector.examples = state.examples
        num_done = state.num_rounds
    for round_index in range(num_done, options.rounds):
        examples = collector.collect(
            exploring(
                logits_of_network(network), options.exploration, seed=options.seed * 1000 + round_index
            ),
            round_index,
            lambda done, total, index=round_index: progress.collecting(index, done, total),
        )
        if not examples:
            raise ValueError(
                f"no train triple of {dataset.name!r} is proved within {options.search_limit} steps"
            )
        learner.learn(examples, round_index, progress)
        if state_file is not None:
            write_state(state_file, learner.state(round_index + 1, collector.examples), identity)
        if options.time_limit is not None and time.monotonic() - start > options.time_limit:
            break
    return network


def _identity(
    dataset: Dataset, config: PolicyConfig, settings: ProverSettings, options: TrainingOptions
) -> dict[str, Any]:
    """Name -> value of everything that the weights depend on."""
    return {
        "dataset": dataset.content_hash,
        "torch": torch.__version__,
        **{f"network.{name}": value for name, value in dataclasses.asdict(config).items()},
        **{f"prover.{name}": value for name, value in dataclasses.asdict(settings).items()},
        **{name: value for name, value in dataclasses.asdict(options).items() if name != "time_limit"},
    }


class _Learner:
    """The network's optimiser and the schedule of its learning rate."""

    def __init__(self, network: PolicyNetwork, options: TrainingOptions) -> None:
        self._network = network
        self._options = options
        self._generator = np.random.default_rng(options.seed)
        self._steps = 0
        embeddings = list(network.embedding.parameters())
        others = [
            parameter for name, parameter in network.named_parameters() if not name.startswith("embedding.")
        ]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": embeddings, "weight_decay": 0.0},
                {"params": others, "weight_decay": options.weight_decay},
            ]
        )

    def state(self, num_rounds: int, examples: Examples) -> TrainingState:
        """The training after ``num_rounds`` rounds."""
        of_parameters = self._optimizer.state_dict()["state"]
        return TrainingState(
            num_rounds,
            self._steps,
            dict(self._generator.bit_generator.state),
            self._network.state_dict(),
            {
                f"{place}.{name}": tensor
                for place, own in of_parameters.items()
                for name, tensor in own.items()
            },
            examples,
        )

    def go_on(self, state: TrainingState) -> None:
        """Takes optimiser, generator and number of steps of a state."""
        self._steps = state.num_steps
        self._generator.bit_generator.state = state.generator
        of_parameters: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.optimizer.items():
            place, name = key.split(".")
            of_parameters.setdefault(int(place), {})[name] = tensor
        before = self._optimizer.state_dict()
        self._optimizer.load_state_dict({**before, "state": of_parameters})

    def learn(self, examples: Sequence[Example], round_index: int, progress: Progress) -> None:
        """Runs one round's epochs over ``examples``."""
        options = self._options
        example_set = ExampleSet(examples)
        self._network.train().requires_grad_(True)
        for epoch in range(options.epochs):
            losses: list[float] = []
            batches = list(example_set.shuffled(self._generator, options.batch_rows))
            for index, batch in enumerate(batches):
                done = (round_index * options.epochs + epoch + index / len(batches)) / (
                    options.rounds * options.epochs
                )
                self._set_learning_rate(done)
                logits = batch_logits(self._network, batch)
                loss = imitation_loss(logits, batch, options.evenness)
                self._optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._network.parameters(), _MOST_GRADIENT_NORM)
                self._optimizer.step()
                self._keep_padding_zero()
                losses.append(loss.item())
            progress.learning(round_index, epoch, len(examples), float(np.mean(losses)))
        self._network.eval().requires_grad_(False)

    def _set_learning_rate(self, done: float) -> None:
        """Sets the learning rate, which rises over the first steps and then falls to 0 as ``done`` goes to 1."""
        self._steps += 1
        warm_up = min(1.0, self._steps / _WARM_UP_STEPS)
        for group in self._optimizer.param_groups:
            group["lr"] = self._options.learning_rate * warm_up * (1.0 - done)

    @torch.no_grad()
    def _keep_padding_zero(self) -> None:
        """Zeroes the row of index 0, which stands for no atom and must not learn."""
        for table in self._network.embedding.parameters():
            table[PADDING] = 0.0
