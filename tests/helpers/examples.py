"""Candidates with their outcomes in one batch, by which tests compare other batches, orders and buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.policies import make_policy

NUM_CANDIDATES = 60


@dataclass(frozen=True)
class Example:
    """Something to evaluate, and its outcomes in one batch."""

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    candidates: list[Candidate]
    outcomes: list[Outcome]

    def evaluator(self, buckets: Sequence[int] = (64,), pool_size: int = 256) -> CompiledEvaluator:
        return CompiledEvaluator(
            self.dataset, self.policy, self.settings, EvaluatorOptions(buckets=buckets, pool_size=pool_size)
        )


def example_of(
    dataset: Dataset, policy: Policy, settings: ProverSettings, candidates: list[Candidate]
) -> Example:
    evaluator = CompiledEvaluator(dataset, policy, settings, EvaluatorOptions(buckets=(64,), pool_size=256))
    return Example(dataset, policy, settings, candidates, list(evaluator.evaluate(candidates)))


def family_example(data: Path, truth: Path) -> Example:
    """Candidates of a recording, spread over its queries."""
    recording = read_recording(truth / "family-seed0")
    dataset = load_dataset(data / recording.dataset)
    step = max(1, len(recording.candidates) // NUM_CANDIDATES)
    candidates = [
        Candidate(dataset.triple(first, predicate, second), candidate.is_positive)
        for candidate in recording.candidates[::step][:NUM_CANDIDATES]
        for predicate, first, second in (candidate.names,)
    ]
    return example_of(dataset, load_policy(recording.folder, dataset), recording.settings, candidates)


def made_example(make_dataset: DatasetMaker) -> Example:
    """Every pair of a graph of paths in a ring with chords."""
    names = [f"n{number}" for number in range(8)]
    facts = [
        f"edge({name},{names[(number + step) % 8]})."
        for number, name in enumerate(names)
        for step in (1, 3)
        if (number + step) % 5
    ]
    rules = ["path(X,Y) :- edge(X,Y).", "path(X,Y) :- edge(X,Z), path(Z,Y).", "path(X,Y) :- path(Y,X)."]
    dataset = make_dataset(facts, rules)
    candidates = [
        Candidate(dataset.triple(first, "path", second), is_positive=False)
        for first in names
        for second in names
    ]
    policy = make_policy(dataset, 3, spread=2.0)
    return example_of(dataset, policy, ProverSettings(max_depth=8), candidates[:NUM_CANDIDATES])
