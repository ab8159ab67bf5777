"""Every engine ranks with every checkpoint of the public code, on the dataset that it fits: the reference's proofs, and
the same bits in any batch.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from proofrank.core.evaluator import create_evaluator
from proofrank.core.evaluator.engines import settings_for
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.importing import inspect_checkpoint
from proofrank.core.prover import Candidate, Outcome
from proofrank.core.ranking import Corruptor, corrupted_queries
from tests.helpers.public_checkpoints import NAMES, checkpoint_file, imported


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, shared_checkpoints: Path) -> Path:
    """A folder with a checkpoint."""
    return shared_checkpoints / request.param


@pytest.fixture(scope="module")
def dataset(folder: Path, shared_data: Path) -> Dataset:
    """The dataset that the checkpoint fits; :func:`test_a_checkpoint_fits_one_dataset` looks for others."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return load_dataset(shared_data / facts["dataset"])


@pytest.fixture(scope="module")
def policy(folder: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return imported(folder, dataset, tmp_path_factory.mktemp(folder.name))


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    """Positives and corruptions of a few test triples; of countries more, because a proof there costs little."""
    number = 6 if dataset.vocabulary.num_predicates < 10 else 2
    triples, corruptor = dataset.splits["test"][:number], Corruptor(dataset, number=3)
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


@pytest.mark.parametrize("engine", ["eager", "captured", pytest.param("default", marks=pytest.mark.slow)])
def test_a_candidate_has_the_same_bits_in_any_batch(
    engine: str, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = create_evaluator(
        engine, dataset, policy, settings_for(policy), device="cpu", buckets=(4, 16, 64), calibrate=False
    )
    together = list(evaluator.evaluate(candidates))
    order = list(range(len(candidates)))
    random.Random(0).shuffle(order)

    shuffled = list(evaluator.evaluate([candidates[index] for index in order]))
    alone = [evaluator.evaluate([candidate])[0] for candidate in candidates]

    assert [shuffled[order.index(index)] for index in range(len(candidates))] == together
    assert alone == together


def test_a_checkpoint_fits_one_dataset(shared_checkpoints: Path, shared_data: Path) -> None:
    # wn18rr has 40,000 constants, far more than any of the tables has rows.
    datasets = [load_dataset(shared_data / name) for name in ("countries_s3", "family", "nations", "umls")]
    for name in NAMES:
        folder = shared_checkpoints / name
        file = checkpoint_file(folder)
        fitting = [dataset.name for dataset in datasets if inspect_checkpoint(file, dataset).misfit is None]
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        assert fitting == [facts["dataset"]]
