"""The choices of a training run, each a flag of ``python -m proofrank.training.train``."""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.core.policy.untrained import EMBEDDING_SCALE


@dataclass(frozen=True)
class TrainingOptions:
    """How a policy is trained.

    Attributes:
        seed: of the initial weights, the corruptions and the order of the examples.
        rounds: how often the policy is rolled out to collect examples.
        epochs: passes over all examples so far, in each round.
        most_queries: how many train triples are rolled out in a round; None for all that have a rule.
        corruptions: how many corruptions of each of them, on each side, are rolled out with it.
        corruption_weight: what an example from a corruption counts; one from a true triple counts 1. Giving up
            is easy to learn and hard to unlearn: a little goes a long way.
        sides: sides to corrupt, ``head``, ``tail`` or ``both``.
        search_limit: the longest proof that the search looks for, in steps from the state.
        search_budget: how many states the search looks at before it leaves an example out.
        exploration: share of the choices in a roll-out that are made at random, so that the examples show how to
            go on after a bad choice: of a triple that it learns from, a policy hardly makes one by itself.
        most_choices: how many choices of one trajectory become examples; in the first round only one does.
        learning_rate: of Adam, at its peak; it rises over the first steps and then falls to 0.
        weight_decay: of everything but the embeddings.
        embedding_scale: standard deviation of the initial embeddings. Small is essential: from large ones the
            network learns the examples by heart instead of what they have in common.
        evenness: see :func:`proofrank.training.batches.imitation_loss`.
        batch_rows: states and actions in a batch, at most.
        time_limit: seconds after which no further round begins; None for no limit. A run that it cuts short
            cannot be reproduced.
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
