"""The vectorised evaluator against the original on whole data sets, with policies of several seeds.

Recordings hold outcomes for one policy each; here both engines prove the same candidates: of each data set, head and
tail, with three policies, the recorded one and two untrained ones of its shape. Nothing is excused: near ties are
settled by the same rule in both. Slow: three minutes without the compiler, and one or more for each compiled case:

    pytest -m slow tests/core/evaluator/test_parity_datasets.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.common import random_policy
from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.diff import describe, differing
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.ranking import (
    Corruptor,
    Query,
    aggregate,
    corrupted_queries,
    rank_queries,
    sample_triples,
)
from tests.helpers.buffers import use_static_shapes
from tests.helpers.datasets import SHARED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "truth").is_dir(), reason=f"{SHARED / 'truth'} is missing"),
]

NUM_QUERIES = {"countries_s3": 24, "family": 6, "umls": 6, "nations": 60, "wn18rr": 8}
NUM_CORRUPTIONS = 20
SEEDS = (0, 1, 2)
"""Of policies, queries and corruptions; the policy of 0 is the recorded one."""

TOLERANCE = 1e-4
"""Of a log-probability."""


@dataclass(frozen=True)
class Example:
    """What the engines are asked, and what the original answers."""

    dataset: Dataset
    policy: Policy
    settings: ProverSettings
    queries: list[Query]
    outcomes: Sequence[Outcome]

    @property
    def candidates(self) -> list[Candidate]:
        """Those of all queries."""
        return [candidate for query in self.queries for candidate in query.candidates]


@cache
def example(name: str, seed: int) -> Example:
    """Proved by the original once, for all engines that are compared with it."""
    recording = read_recording(SHARED / "truth" / f"{name}-seed0")
    dataset = load_dataset(SHARED / "data" / name)
    policy = load_policy(recording.folder, dataset)
    if seed:
        policy = random_policy(dataset, policy, seed)
    triples = sample_triples(dataset.splits["test"], NUM_QUERIES[name], seed)
    corruptor = Corruptor(dataset, number=NUM_CORRUPTIONS, seed=seed)
    queries = corrupted_queries(triples, ("head", "tail"), corruptor)
    candidates = [candidate for query in queries for candidate in query.candidates]
    outcomes = ReferenceEvaluator(dataset, policy, recording.settings).evaluate(candidates)
    return Example(dataset, policy, recording.settings, queries, outcomes)


class Known:
    """Gives outcomes that are known already, to rank them."""

    engine = "known"

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    def evaluate(self, candidates: Sequence[Candidate], **_: Any) -> Sequence[Outcome]:
        """The outcomes, whose order is that of the candidates."""
        assert len(candidates) == len(self._outcomes)
        return self._outcomes


def assert_is_original(evaluator: CompiledEvaluator, asked: Example) -> None:
    """Every outcome is the original's, and so are all ranks and the MRR."""
    candidates = asked.candidates
    outcomes = evaluator.evaluate(candidates)

    differences = differing(candidates, outcomes, asked.outcomes)
    if differences:
        reference = ReferenceEvaluator(asked.dataset, asked.policy, asked.settings)
        pytest.fail(describe(differences[0], (evaluator.engine, "original"), reference, asked.dataset))
    for outcome, original in zip(outcomes, asked.outcomes, strict=True):
        assert outcome.log_probability == pytest.approx(original.log_probability, rel=0, abs=TOLERANCE)
        assert outcome.passes_near_tie == original.passes_near_tie
    ranked = rank_queries(Known(outcomes), asked.queries)
    of_original = rank_queries(Known(asked.outcomes), asked.queries)
    assert [query.ranks for query in ranked] == [query.ranks for query in of_original]
    assert aggregate(ranked).mrr == aggregate(of_original).mrr


@pytest.mark.parametrize("name", NUM_QUERIES)
def test_the_examples_have_proofs_failures_and_choices_on_both_sides(name: str) -> None:
    outcomes = [outcome for seed in SEEDS for outcome in example(name, seed).outcomes]

    assert len(outcomes) > 500
    assert {outcome.success for outcome in outcomes} == {True, False}
    assert any(outcome.log_probability < 0 for outcome in outcomes)
    assert any(outcome.passes_near_tie for outcome in outcomes)
    assert {query.side for query in example(name, 0).queries} == {"head", "tail"}


@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NUM_QUERIES)
def test_without_a_compiler_outcomes_and_ranks_are_the_originals(
    name: str, seed: int, is_trimming: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = example(name, seed)
    if not is_trimming:
        use_static_shapes(monkeypatch)
    evaluator = CompiledEvaluator(
        asked.dataset, asked.policy, asked.settings, EvaluatorOptions(buckets=(64,))
    )

    assert_is_original(evaluator, asked)


@pytest.mark.parametrize("fullgraph", [True, False], ids=["fullgraph", "partial"])
@pytest.mark.parametrize("compile_mode", ["default", "separate"])
@pytest.mark.parametrize("name", ["countries_s3", "family"])
def test_compiled_outcomes_and_ranks_are_the_originals(
    name: str, compile_mode: str, fullgraph: bool, tmp_path: Path
) -> None:
    # Else the compiler would take what it made for the case before.
    torch._dynamo.reset()
    first = example(name, 0)
    evaluator = CompiledEvaluator(
        first.dataset,
        first.policy,
        first.settings,
        EvaluatorOptions(buckets=(64,), cache_folder=tmp_path),
        compile_mode=compile_mode,
        fullgraph=fullgraph,
    )
    for seed in SEEDS:
        asked = example(name, seed)
        evaluator.load_policy(asked.policy)

        assert_is_original(evaluator, asked)

    assert evaluator.mode.compile_mode == compile_mode, "it went on without the compiler"
