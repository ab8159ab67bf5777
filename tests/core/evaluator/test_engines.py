"""Engines by name, what they refuse before any work, and the settings that they run under."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator, create_evaluator, settings_for
from proofrank.core.evaluator.base import check_enough_variables
from proofrank.core.evaluator.engines import automatic_mode
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, PolicyNetwork
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker

SETTINGS = ProverSettings(max_depth=5, padding_states=10)


def make_policy(
    dataset: Dataset, *, max_variables: int = 1000, settings: ProverSettings | None = None
) -> Policy:
    """A small untrained policy on the vocabulary of ``dataset``."""
    config = PolicyConfig(embedding_dim=4, hidden_dim=4, num_layers=1, max_variables=max_variables)
    network = PolicyNetwork(config, dataset.vocabulary.num_predicates, dataset.vocabulary.num_constants)
    return Policy("small", network, dataset.vocabulary, settings, "")


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """A graph whose only rule has two variables of its own."""
    return make_dataset(["p(a,b).", "p(b,c).", "q(a,c)."], ["p(X,U), p(U,V), p(V,Y) -> q(X,Y)"])


@pytest.mark.parametrize(
    ("engine", "nearest"),
    [("eagre", "eager"), ("orginal", "original"), ("reduce_overhead", "reduce-overhead")],
)
def test_an_unknown_engine_is_refused_with_the_nearest_name(
    engine: str, nearest: str, dataset: Dataset
) -> None:
    with pytest.raises(EvaluationError, match=rf"unknown engine '{engine}'; did you mean '{nearest}'"):
        create_evaluator(engine, dataset, make_policy(dataset), SETTINGS)


def test_an_engine_with_no_near_name_is_refused_with_all_names(dataset: Dataset) -> None:
    with pytest.raises(EvaluationError) as caught:
        create_evaluator("zzz", dataset, make_policy(dataset), SETTINGS)

    assert "did you mean" not in str(caught.value)
    assert "expected one of auto, original, eager, default, reduce-overhead, separate" in str(caught.value)


def test_reduce_overhead_is_refused_on_a_cpu_with_the_reason(dataset: Dataset) -> None:
    with pytest.raises(
        EvaluationError, match="'reduce-overhead' captures CUDA graphs and needs a CUDA device"
    ):
        create_evaluator("reduce-overhead", dataset, make_policy(dataset), SETTINGS, device="cpu")


def test_auto_is_a_vectorised_engine_that_compiles_nothing_on_a_cpu(dataset: Dataset) -> None:
    evaluator = create_evaluator("auto", dataset, make_policy(dataset), SETTINGS, device="cpu", buckets=(4,))

    assert isinstance(evaluator, CompiledEvaluator)
    assert evaluator.engine == "eager"
    assert automatic_mode(torch.device("cuda")) == "reduce-overhead"


def test_original_is_the_reference(dataset: Dataset) -> None:
    evaluator = create_evaluator("original", dataset, make_policy(dataset), SETTINGS)

    assert isinstance(evaluator, ReferenceEvaluator)
    assert evaluator.engine == "original"


def test_settings_are_those_of_training_but_for_overrides(dataset: Dataset) -> None:
    policy = make_policy(dataset, settings=SETTINGS)

    assert settings_for(policy) == SETTINGS
    assert settings_for(policy, {"max_depth": 3}) == dataclasses.replace(SETTINGS, max_depth=3)


def test_settings_of_a_policy_that_names_none_are_the_defaults(dataset: Dataset) -> None:
    policy = make_policy(dataset)

    assert settings_for(policy) == ProverSettings()
    assert settings_for(policy, {"memory_pruning": False}) == ProverSettings(memory_pruning=False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"max_dept": 3}, "unknown prover setting 'max_dept'; did you mean 'max_depth'"),
        ({"max_depth": 0}, "prover setting max_depth is 0; expected at least 1"),
        ({"max_depth": True}, "prover setting max_depth is True; expected int"),
    ],
)
def test_overrides_that_are_no_settings_are_refused(
    overrides: dict[str, int], message: str, dataset: Dataset
) -> None:
    with pytest.raises(EvaluationError) as caught:
        settings_for(make_policy(dataset, settings=SETTINGS), overrides)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("max_variables", "steps_per_depth", "growth"),
    [
        (9, 1, "2 new variables of a rule"),
        (10, 2, "(2 new variables of a rule + 2 x 1 skipped actions)"),
        (19, 2, "(2 new variables of a rule + 2 x 1 skipped actions)"),
    ],
)
def test_too_few_variables_for_the_depth_are_refused_with_the_figures(
    max_variables: int, steps_per_depth: int, growth: str, dataset: Dataset
) -> None:
    policy = make_policy(dataset, max_variables=max_variables)

    with pytest.raises(EvaluationError) as caught:
        check_enough_variables(dataset, policy, SETTINGS, steps_per_depth)

    assert f"may need {10 * steps_per_depth} variables" in str(caught.value)
    assert f"(max_depth 5 x {growth})" in str(caught.value)
    assert f"policy 'small' embeds only {max_variables}" in str(caught.value)


@pytest.mark.parametrize(("max_variables", "steps_per_depth"), [(10, 1), (20, 2)])
def test_just_enough_variables_are_enough(max_variables: int, steps_per_depth: int, dataset: Dataset) -> None:
    check_enough_variables(
        dataset, make_policy(dataset, max_variables=max_variables), SETTINGS, steps_per_depth
    )


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_every_engine_refuses_a_policy_with_too_few_variables(engine: str, dataset: Dataset) -> None:
    policy = make_policy(dataset, max_variables=9)

    with pytest.raises(EvaluationError, match="may need 10 variables"):
        create_evaluator(engine, dataset, policy, SETTINGS, device="cpu", buckets=(4,))


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_skipped_single_actions_count_as_steps_that_add_variables(engine: str, dataset: Dataset) -> None:
    # Up to 20 are skipped, one more is looked at, and then the step itself: 22 of 2 variables at each of 5 steps.
    settings = dataclasses.replace(SETTINGS, skip_unary_actions=True)
    policy = make_policy(dataset, max_variables=219)

    with pytest.raises(EvaluationError, match="may need 220 variables"):
        create_evaluator(engine, dataset, policy, settings, device="cpu", buckets=(4,))
