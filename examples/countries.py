"""What the examples of training share: the package's countries, a network, and choices of a search to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.core.policy import PolicyNetwork
from proofrank.training.batches import Batch, ExampleSet, batch_logits, imitation_loss
from proofrank.training.examples import ExampleCollector
from proofrank.training.imitation import untrained_network
from proofrank.training.options import TrainingOptions
from proofrank.training.rollout import logits_of_network


@dataclass(frozen=True)
class Countries:
    """The countries, with a network to train.

    Attributes:
        dataset: which country lies in which region.
        like: the package's policy, which gives the shape of the network, the names and the prover settings.
        network: an untrained network.
        options: learning rate, seed and so on.
    """

    dataset: proofrank.Dataset
    like: proofrank.Policy
    network: PolicyNetwork
    options: TrainingOptions

    @classmethod
    def load(cls, seed: int = 0) -> Countries:
        """Loads the graph, and makes a network with random weights."""
        dataset = proofrank.load_dataset(DATASET)
        like = proofrank.load_policy(POLICY, dataset)
        options = TrainingOptions(seed=seed)
        network = untrained_network(
            like.network.config, dataset.vocabulary, options.seed, options.embedding_scale
        )
        return cls(dataset, like, network.train().requires_grad_(True), options)


class Choices:
    """Batches of choices of which a search has found the right ones; each iteration is an epoch in another order."""

    def __init__(self, countries: Countries) -> None:
        """Searches, which takes a second or two."""
        settings, options = countries.like.settings, countries.options
        assert settings is not None
        collector = ExampleCollector(countries.dataset, settings, options)
        self._examples = ExampleSet(collector.collect(logits_of_network(countries.network), 0))
        self._generator = np.random.default_rng(options.seed)
        self._batch_rows = options.batch_rows

    def __iter__(self) -> Iterator[Batch]:
        return self._examples.shuffled(self._generator, self._batch_rows)


def loss_of(network: PolicyNetwork, batch: Batch) -> torch.Tensor:
    """The loss of a batch of choices."""
    return imitation_loss(batch_logits(network, batch), batch, TrainingOptions().evenness)


def keep_padding_zero(network: PolicyNetwork) -> None:
    """Zeroes the rows that stand for no atom; to be called after each step of an optimizer."""
    with torch.no_grad():
        network.embedding.predicates[0] = 0
        network.embedding.arguments[0] = 0
