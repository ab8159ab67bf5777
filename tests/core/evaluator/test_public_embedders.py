"""Every engine ranks with every embedder of the public code: the reference's proofs, the same bits in any batch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from proofrank.core.evaluator import create_evaluator
from proofrank.core.evaluator.engines import settings_for
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import Corruptor, corrupted_queries
from tests.helpers.public_checkpoints import EMBEDDERS, imported


@pytest.fixture(scope="module")
def dataset(shared_data: Path) -> Dataset:
    return load_dataset(shared_data / "countries_s3")


@pytest.fixture(scope="module", params=EMBEDDERS)
def policy(
    request: pytest.FixtureRequest,
    dataset: Dataset,
    shared_checkpoints: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Policy:
    return imported(shared_checkpoints / request.param, dataset, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    """Positives and corruptions of a few test triples."""
    triples, corruptor = dataset.splits["test"][:6], Corruptor(dataset, number=3)
    queries = corrupted_queries(triples, ["head", "tail"], corruptor)
    return [candidate for query in queries for candidate in query.candidates]


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    """The outcomes of the reference."""
    return list(
        create_evaluator("original", dataset, policy, settings_for(policy), device="cpu").evaluate(candidates)
    )


@pytest.mark.parametrize("engine", ["eager", "captured", pytest.param("default", marks=pytest.mark.slow)])
def test_a_vectorised_engine_finds_the_proofs_of_the_reference(
    engine: str, dataset: Dataset, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = create_evaluator(
        engine, dataset, policy, settings_for(policy), device="cpu", buckets=(8, 64), calibrate=False
    )

    outcomes = list(evaluator.evaluate(candidates))

    for ours, theirs in zip(outcomes, expected, strict=True):
        assert (ours.success, ours.steps, ours.actions) == (theirs.success, theirs.steps, theirs.actions)
        assert ours.log_probability == pytest.approx(theirs.log_probability, rel=1e-4, abs=1e-4)


def test_a_candidate_has_the_same_bits_in_any_batch(
    dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = create_evaluator(
        "eager", dataset, policy, settings_for(policy), device="cpu", buckets=(4, 16, 64), calibrate=False
    )
    together = list(evaluator.evaluate(candidates))
    order = list(range(len(candidates)))
    random.Random(0).shuffle(order)

    shuffled = list(evaluator.evaluate([candidates[index] for index in order]))
    alone = [evaluator.evaluate([candidate])[0] for candidate in candidates]

    assert [shuffled[order.index(index)] for index in range(len(candidates))] == together
    assert alone == together
