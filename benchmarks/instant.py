"""An evaluator that proves nothing, to measure the cost around the proofs, and a graph for it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from proofrank.core.evaluator import CompiledEvaluator, EvaluatorOptions
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, PolicyConfig, build_network
from proofrank.core.prover import ProverSettings

NUM_CONSTANTS = 2000
"""Number of constants of the graph, and of candidates for each query."""

QUERY = {"head": "c0", "relation": "reaches", "tail": "c1", "side": "tail"}

_RULES = ("reaches(X,Y) :- next(X,Y).", "reaches(X,Y) :- next(X,Z), reaches(Z,Y).")


class InstantEvaluator(CompiledEvaluator):
    """Gives each candidate an outcome at once that depends only on the candidate, instead of a tick.

    Candidates go into the pool and outcomes come out of it as in any other evaluator.
    """

    def __init__(self, dataset: Dataset, policy: Policy, settings: ProverSettings) -> None:
        """Makes an evaluator with a single bucket of the usual size on a CPU."""
        super().__init__(dataset, policy, settings, EvaluatorOptions(buckets=(512,)))

    @torch.inference_mode()
    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        """Ends the candidates in the slots ``only``."""
        self._slots.hold_others(self._policy, only)
        pool = self._input_buffer
        slots = torch.tensor(sorted(self._slots.taken if only is None else only), dtype=torch.int64)
        number = (pool.atom[slots] * 7919) % 10_007
        pool.success[slots] = number % 3 == 0
        pool.log_probability[slots] = -number.to(torch.float64) / 7
        pool.steps[slots] = 1 + number % min(8, self.settings.max_depth)
        pool.actions[slots] = (number[:, None] % 5).to(pool.actions.dtype)
        pool.largest_logit[slots] = 1.0
        pool.is_done.index_fill_(0, slots, True)
        pool.head.copy_(pool.tail)


def write_chain(folder: Path) -> Path:
    """Writes a graph of ``NUM_CONSTANTS`` constants in a chain into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = (f"next(c{number},c{number + 1})." for number in range(NUM_CONSTANTS - 1))
    for stem, lines in (("train", facts), ("valid", ()), ("test", ()), ("rules", _RULES)):
        (folder / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def chain_and_policy(folder: Path) -> tuple[Dataset, Policy]:
    """Makes the graph of :func:`write_chain`, and an untrained policy for it."""
    dataset = load_dataset(write_chain(folder))
    config = PolicyConfig(embedding_dim=16, hidden_dim=32, num_layers=2, max_variables=200)
    network = build_network(config, dataset.vocabulary)
    return dataset, Policy("untrained", network, dataset.vocabulary, ProverSettings(), "")
