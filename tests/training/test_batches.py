"""Batches: the logits that the network gives to each state alone, and a loss that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from proofrank.core.graph import Vocabulary
from proofrank.core.policy import PolicyConfig, StateScorer
from proofrank.core.prover import State
from proofrank.training.batches import Example, ExampleSet, batch_logits, imitation_loss
from proofrank.training.imitation import untrained_network

VOCABULARY = Vocabulary(("likes", "knows"), ("ann", "bob", "cid"))
QUERY: State = ((1, 1, 2),)
ACTIONS: tuple[State, ...] = (((2, 1, 3), (1, 3, 2)), ((2, 2, 1),), ((5, 0, 0),))
EXAMPLES = [
    Example(QUERY, ACTIONS, (1,), 1.0),
    Example(ACTIONS[0], (ACTIONS[1], ACTIONS[2]), (0,), 3.0),
    Example(QUERY, ACTIONS, (0, 2), 1.0),
]


def test_batched_logits_are_those_of_each_state_alone() -> None:
    network = untrained_network(PolicyConfig(8, 16, 1), VOCABULARY, seed=0, embedding_scale=1.0)
    scorer = StateScorer(network)
    (batch,) = ExampleSet(EXAMPLES).shuffled(np.random.default_rng(0), most_rows=100)
    order = np.random.default_rng(0).permutation(len(EXAMPLES))
    logits = batch_logits(network, batch)
    assert logits.shape == (3, 3)
    for row, index in enumerate(order):
        example = EXAMPLES[index]
        alone = scorer(example.state, example.actions)
        assert logits[row, : len(alone)].tolist() == pytest.approx(alone, abs=1e-5)
        assert batch.is_action[row].tolist() == [True] * len(alone) + [False] * (3 - len(alone))
        assert batch.is_target[row].nonzero().flatten().tolist() == list(example.targets)
        assert batch.weights[row].item() == pytest.approx(example.weight / 5)


def test_every_example_is_in_one_batch_of_an_epoch() -> None:
    batches = list(ExampleSet(EXAMPLES).shuffled(np.random.default_rng(1), most_rows=4))
    assert len(batches) > 1
    assert sum(len(batch.weights) for batch in batches) == len(EXAMPLES)
    assert sum(len(batch.rows) for batch in batches) == sum(1 + len(example.actions) for example in EXAMPLES)


def test_the_loss_is_content_with_one_target_or_asks_for_all() -> None:
    (batch,) = ExampleSet([EXAMPLES[2]]).shuffled(np.random.default_rng(0), most_rows=100)
    logits = torch.tensor([[math.log(0.7), math.log(0.2), math.log(0.1)]])
    assert imitation_loss(logits, batch, evenness=0.0).item() == pytest.approx(-math.log(0.8))
    even = -(math.log(0.7) + math.log(0.1)) / 2
    assert imitation_loss(logits, batch, evenness=1.0).item() == pytest.approx(even)
