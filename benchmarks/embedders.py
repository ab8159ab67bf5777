"""Cost of each embedder in an engine: processor time per state and per candidate, on the same trajectories.

python -m benchmarks.embedders --threads 1

All policies have random weights and the same sizes, and take the actions that the first one chose, so that they score
the same states. They run in turn. Processor time is measured, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.common import (
    Workload,
    add_output,
    add_workload,
    arguments_of,
    load_workload,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.evaluator import CompiledEvaluator, create_evaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig
from proofrank.core.policy.untrained import random_network
from proofrank.core.prover import Candidate

EMBEDDERS = (
    ("transe", "sum"),
    ("transe", "mean"),
    ("sum", "sum"),
    ("distmult", "sum"),
    ("rnn", "mean"),
    ("attention", "mean"),
    ("transformer", "mean"),
    ("transe", "rnn"),
    ("transe", "transformer"),
)
"""Atom embedder and state pooling of each policy; the first chooses the actions."""


class Contestant(NamedTuple):
    """A policy in its evaluator."""

    embedders: tuple[str, str]
    policy: Policy
    evaluator: CompiledEvaluator
    seconds: list[float]


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=5, num_repeats=5)
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--embedding-dim", type=int, default=PolicyConfig.embedding_dim)
    parser.add_argument("--hidden-dim", type=int, default=PolicyConfig.hidden_dim)
    parser.add_argument("--num-layers", type=int, default=PolicyConfig.num_layers)
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, "both")
    sizes = {name: getattr(parsed, name) for name in ("embedding_dim", "hidden_dim", "num_layers")}
    rows = measure(workload, parsed.engine, sizes, parsed.repeats)
    print(f"{machine()}")
    print_table(rows)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows})
    return 0


def measure(workload: Workload, engine: str, sizes: dict[str, int], repeats: int) -> list[dict[str, Any]]:
    """Returns a row for each embedder."""
    candidates = [candidate for query in workload.queries for candidate in query.candidates]
    contestants = [_contestant(workload, engine, embedders, sizes) for embedders in EMBEDDERS]
    actions = [outcome.actions for outcome in contestants[0].evaluator.evaluate(candidates)]
    for contestant in contestants:
        contestant.evaluator.evaluate(candidates[:8], recorded_actions=actions[:8])
    before = [contestant.evaluator.work.states_scored for contestant in contestants]
    for _ in range(repeats):
        for contestant in contestants:
            contestant.seconds.append(_processor_seconds(contestant.evaluator, candidates, actions))
    rows = []
    for contestant, states_before in zip(contestants, before, strict=True):
        states = (contestant.evaluator.work.states_scored - states_before) / repeats
        seconds = median(contestant.seconds)
        rows.append(
            {
                "atom embedder": contestant.embedders[0],
                "state pooling": contestant.embedders[1],
                "parameters of the embedder": _num_parameters(contestant.policy),
                "us per state": seconds / states * 1e6,
                "ms per candidate": seconds / len(candidates) * 1e3,
                "times the first": median(
                    [
                        own / first
                        for own, first in zip(contestant.seconds, contestants[0].seconds, strict=True)
                    ]
                ),
            }
        )
    return rows


def _contestant(
    workload: Workload, engine: str, embedders: tuple[str, str], sizes: dict[str, int]
) -> Contestant:
    atom_embedder, state_pooling = embedders
    config = PolicyConfig.from_dict({**sizes, "atom_embedder": atom_embedder, "state_pooling": state_pooling})
    policy = _random_policy(workload.dataset, config, workload.policy)
    evaluator = create_evaluator(engine, workload.dataset, policy, workload.settings, device="cpu")
    assert isinstance(evaluator, CompiledEvaluator)
    return Contestant(embedders, policy, evaluator, [])


def _random_policy(dataset: Dataset, config: PolicyConfig, like: Policy) -> Policy:
    needed = max(config.max_variables, like.network.config.max_variables)
    config = dataclasses.replace(config, max_variables=needed)
    return Policy("random", random_network(config, dataset.vocabulary, 0), dataset.vocabulary, None, "")


def _processor_seconds(
    evaluator: CompiledEvaluator, candidates: Sequence[Candidate], actions: Sequence[Sequence[int]]
) -> float:
    began = time.process_time()
    evaluator.evaluate(candidates, recorded_actions=actions)
    return time.process_time() - began


def _num_parameters(policy: Policy) -> int:
    """Returns the number of weights of the embedders, without the tables."""
    embedding = policy.network.embedding
    tables = {id(embedding.predicates), id(embedding.arguments)}
    return sum(parameter.numel() for parameter in embedding.parameters() if id(parameter) not in tables)


if __name__ == "__main__":
    raise SystemExit(main())
