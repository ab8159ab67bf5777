"""Ticks that are compiled at their first call: any number of buckets, no recompile whatever the requests are, and no
crash where the compiler keeps no more versions of a tick.

The compiler takes a quarter of a minute for each bucket:

    pytest -m slow tests/core/evaluator/test_compiled_modes.py
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=6)
NUM_BATCHES = 200

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    """A policy of many choices."""
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    """Every path, twice."""
    return all_paths(dataset) * 2


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    """What the reference says of them."""
    return list(ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(candidates))


def evaluator_of(
    dataset: Dataset,
    policy: Policy,
    folder: Path,
    compile_mode: str,
    *,
    fullgraph: bool,
    buckets: Sequence[int] = (4,),
) -> CompiledEvaluator:
    """An evaluator that compiles nothing yet."""
    return CompiledEvaluator(
        dataset,
        policy,
        SETTINGS,
        EvaluatorOptions(buckets=buckets, pool_size=128, cache_folder=folder),
        compile_mode=compile_mode,
        fullgraph=fullgraph,
    )


@pytest.fixture(
    scope="module",
    params=[("separate", True, range(1, 10)), ("default", False, (4, 64))],
    ids=["separate-nine-buckets", "default-partial-two-buckets"],
)
def warm(
    request: pytest.FixtureRequest,
    dataset: Dataset,
    policy: Policy,
    tmp_path_factory: pytest.TempPathFactory,
) -> CompiledEvaluator:
    """An evaluator of which every bucket has been compiled."""
    compile_mode, fullgraph, buckets = request.param
    folder = tmp_path_factory.mktemp("artifacts")
    evaluator = evaluator_of(
        dataset, policy, folder, compile_mode, fullgraph=fullgraph, buckets=tuple(buckets)
    )
    evaluator.warm_up()
    assert evaluator.mode.compile_mode == compile_mode, "it went on without the compiler"
    return evaluator


@pytest.mark.slow
def test_every_bucket_gives_the_outcomes_of_the_reference(
    warm: CompiledEvaluator, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    for num_lanes in warm.buckets:
        assert_same(warm.evaluate(candidates[:num_lanes]), expected[:num_lanes])
    assert_same(warm.evaluate(candidates), expected)


@pytest.mark.slow
def test_batches_of_odd_sizes_recompile_nothing(
    warm: CompiledEvaluator, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    before = compile_counts()

    for number in range(NUM_BATCHES):
        size = 1 + number * 37 % len(candidates)
        assert_same(warm.evaluate(candidates[:size]), expected[:size])

    assert compile_counts() == before
    assert before.graphs >= len(warm.buckets)


@pytest.mark.slow
def test_an_evaluator_does_not_run_on_what_was_compiled_for_another(
    dataset: Dataset, policy: Policy, tmp_path: Path
) -> None:
    graphs = [compile_counts().graphs]
    for folder in ("one", "other"):
        evaluator = evaluator_of(dataset, policy, tmp_path / folder, "default", fullgraph=False)
        evaluator.warm_up()
        graphs.append(compile_counts().graphs)

    assert graphs[0] < graphs[1] < graphs[2]


@pytest.mark.parametrize(
    ("compile_mode", "fullgraph"), [("separate", True), ("default", False)], ids=["fullgraph", "partial"]
)
def test_where_the_compiler_keeps_no_more_versions_outcomes_are_the_same_with_one_warning(
    compile_mode: str,
    fullgraph: bool,
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    evaluator = evaluator_of(dataset, policy, tmp_path, compile_mode, fullgraph=fullgraph, buckets=(4, 8))

    with (
        torch._dynamo.config.patch(accumulated_recompile_limit=0),
        caplog.at_level(logging.WARNING, "proofrank"),
    ):
        evaluator.warm_up()

    assert evaluator.engine == "eager"
    assert len([record for record in caplog.records if "cannot be compiled here" in record.message]) == 1
    assert_same(evaluator.evaluate(candidates), expected)
