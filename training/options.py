"""The choices of a training run, each a flag of ``python -m proofrank.training.train``."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.core.policy.untrained import EMBEDDING_SCALE


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a training.

    Attributes:
        seed: seed of the initial weights, the corruptions and the order of the examples.
        rounds: number of times that the policy is rolled out to collect examples.
        epochs: passes over all examples so far, in each round.
        most_queries: train triples rolled out in a round; None for all that have a rule.
        corruptions: corruptions of each of them, on each side, that are rolled out with it.
        corruption_weight: weight of an example from a corruption; that from a true triple is 1. A small weight
            suffices, because giving up is easy to learn and hard to unlearn.
        sides: sides to corrupt, ``head``, ``tail`` or ``both``.
        search_limit: maximum length of a proof in the search, in steps from the state.
        search_budget: number of states after which the search leaves an example out.
        exploration: share of random choices in a roll-out, so that examples show how to continue after a bad choice; on
            the triples that it learns from, a policy hardly makes one by itself.
        most_choices: maximum number of choices of one trajectory that become examples; in the first round only one.
        learning_rate: peak learning rate of Adam; it rises over the first steps and then falls to 0.
        weight_decay: weight decay of everything but the embeddings.
        embedding_scale: standard deviation of the initial embeddings. It must be small: from large ones the network
            memorises the examples instead of what they have in common.
        evenness: see :func:`proofrank.training.batches.imitation_loss`.
        batch_rows: maximum number of states and actions in a batch.
        time_limit: seconds after which no further round begins; None for no limit. A run that it cuts short cannot be
            reproduced.
    """

    seed: int = 0
    rounds: int = 5
    epochs: int = 10
    most_queries: int | None = None
    corruptions: int = 0
    corruption_weight: float = 0.02
    sides: str = "tail"
    search_limit: int = 6
    search_budget: int = 5000
    exploration: float = 0.0
    most_choices: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    embedding_scale: float = EMBEDDING_SCALE
    evenness: float = 0.5
    batch_rows: int = 400
    time_limit: float | None = None
