"""Every engine ranks with networks of one's own: the reference's proofs, the same bits in any batch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import CompiledEvaluator, create_evaluator
from proofrank.core.evaluator.engines import settings_for
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.exported.features import features_of
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from proofrank.core.prover.packing import pack_atom
from proofrank.core.ranking import Corruptor, corrupted_queries
from tests.helpers.own_networks import NETWORKS, default_dataset, exported_policy

SETTINGS = {
    "usual": ProverSettings(),
    "without Endf": ProverSettings(end_proof_action=False),
    "few actions": ProverSettings(padding_states=4, padding_atoms=4, max_depth=6, memory_pruning=False),
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return default_dataset()


@pytest.fixture(scope="module", params=NETWORKS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return exported_policy(request.param)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    """Positives and corruptions of some test triples."""
    triples, corruptor = dataset.splits["test"][:8], Corruptor(dataset, number=4)
    queries = corrupted_queries(triples, ["head", "tail"], corruptor)
    return [candidate for query in queries for candidate in query.candidates]


def proofs(outcomes: list[Outcome]) -> list[tuple[bool, int, tuple[int, ...]]]:
    """What a candidate's trajectory was, but for rounding."""
    return [(outcome.success, outcome.steps, tuple(outcome.actions)) for outcome in outcomes]


def assert_as_the_reference(
    engine: str,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    candidates: list[Candidate],
    cache_folder: Path | None = None,
) -> None:
    """Every candidate has the proof and the log-probability that the reference gives it."""
    expected = list(create_evaluator("original", dataset, policy, settings).evaluate(candidates))
    evaluator = create_evaluator(
        engine,
        dataset,
        policy,
        settings,
        device="cpu",
        buckets=(8, 64),
        calibrate=False,
        cache_folder=cache_folder,
    )

    outcomes = list(evaluator.evaluate(candidates))

    assert evaluator.engine == engine, "it went on without the compiler"
    assert len({outcome.steps for outcome in expected}) > 1, "every trajectory ends alike"
    assert proofs(outcomes) == proofs(expected)
    for ours, theirs in zip(outcomes, expected, strict=True):
        assert ours.log_probability == pytest.approx(theirs.log_probability, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("engine", ["eager", "captured"])
def test_a_vectorised_engine_finds_the_proofs_of_the_reference(
    engine: str, settings: str, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    few = candidates if settings == "usual" else candidates[::3]
    assert_as_the_reference(engine, dataset, policy, SETTINGS[settings], few)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["default", "separate"])
def test_a_compiled_engine_takes_the_network_as_one_graph(
    engine: str, dataset: Dataset, policy: Policy, candidates: list[Candidate], tmp_path: Path
) -> None:
    assert_as_the_reference(engine, dataset, policy, ProverSettings(), candidates, tmp_path)


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
    alone = [evaluator.evaluate([candidate])[0] for candidate in candidates[:20]]

    assert [shuffled[order.index(index)] for index in range(len(candidates))] == together
    assert alone == together[:20]


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_states_of_more_atoms_than_the_network_takes_are_refused(
    engine: str, dataset: Dataset, policy: Policy
) -> None:
    settings = ProverSettings(padding_atoms=7)

    with pytest.raises(EvaluationError, match=r"states have up to 7 atoms; policy '[a-z-]+' takes 6"):
        create_evaluator(engine, dataset, policy, settings, device="cpu")


def test_other_weights_of_the_same_network_go_into_the_same_evaluator(
    dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    kind = {name.replace(" ", "-"): name for name in NETWORKS}[policy.name]
    other = exported_policy(kind, seed=1)
    settings = settings_for(policy)
    expected = list(create_evaluator("original", dataset, other, settings).evaluate(candidates))
    evaluator = create_evaluator(
        "eager", dataset, policy, settings, device="cpu", buckets=(16,), calibrate=False
    )
    assert isinstance(evaluator, CompiledEvaluator)
    before = proofs(list(evaluator.evaluate(candidates)))
    addresses = evaluator.buffer_addresses()

    evaluator.load_policy(other)

    assert proofs(list(evaluator.evaluate(candidates))) == proofs(expected)
    assert proofs(expected) != before
    assert evaluator.buffer_addresses() == addresses


def test_another_network_does_not_go_into_the_evaluator(dataset: Dataset) -> None:
    towers, transformer = exported_policy("two towers"), exported_policy("transformer")
    evaluator = create_evaluator("eager", dataset, towers, settings_for(towers), device="cpu", buckets=(8,))
    assert isinstance(evaluator, CompiledEvaluator)

    with pytest.raises(EvaluationError, match="another shape"):
        evaluator.load_policy(transformer)


def test_bfloat16_is_refused(dataset: Dataset) -> None:
    policy = exported_policy("two towers")

    with pytest.raises(EvaluationError, match="precision 'bfloat16' is not for a network of one's own"):
        create_evaluator("eager", dataset, policy, settings_for(policy), device="cpu", precision="bfloat16")


def test_other_numbers_of_rows_than_a_compiled_tick_s_have_the_bits_of_tiles(policy: Policy) -> None:
    features = features_of(policy.model)
    if features.is_pairwise:
        pytest.skip("pairs have no vector of their own")
    states = torch.zeros(128, 6, dtype=torch.int64)
    states[:, 0] = pack_atom(1, 2, 3)
    in_tiles = features(states)

    features.compute_whole(64)

    assert torch.equal(features(states), in_tiles)
    assert torch.equal(features(states[:64]), in_tiles[:64])
