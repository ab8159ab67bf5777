"""Pruned tasks on whole data sets: the recorded queries, by the recorded policies and by a trained one.

The recorded policies are untrained: most positives are not proved, and so little can be left out. Each engine ranks the
same queries with and without pruning, beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from proofrank.core.evaluator import settings_for
from proofrank.core.evaluator.recordings import RecordedQuery, read_recording
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.provability import LeastModel, compute_least_model
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Corruptor, Query, corrupted_queries, sample_triples
from proofrank.core.ranking.corruptions import SIDES
from proofrank.service.scheduler import Lanes
from tests.helpers.datasets import SHARED
from tests.helpers.pruned import check_beside_each_other, run_on

RECORDINGS = (
    "countries_s3-seed0",
    "countries_s3-seed1-skip-unary",
    "family-seed0",
    "family-seed3-train-split",
    "nations-seed0",
    "umls-seed0",
    "wn18rr-seed0",
)
TRAINED = "family-trained"

NUM_QUERIES = {"eager": 6, "captured": 2, "original": 2, "default": 12}
"""Number of queries of a recording that an engine ranks."""

LARGEST = "wn18rr-seed0"

pytestmark = pytest.mark.skipif(not (SHARED / "truth").is_dir(), reason=f"{SHARED / 'truth'} is missing")


@dataclass(frozen=True)
class Example:
    """What the engines are asked."""

    dataset: Dataset
    model: LeastModel
    policy: Policy
    settings: ProverSettings
    queries: list[Query]


@cache
def dataset_of(name: str) -> tuple[Dataset, LeastModel]:
    """The graph and its least model, a superset for the largest."""
    dataset = load_dataset(SHARED / "data" / name)
    is_large = dataset.vocabulary.num_constants > 10_000
    return dataset, compute_least_model(dataset, **({"seconds": 0.5, "max_blocks": 128} if is_large else {}))


@cache
def example(name: str) -> Example:
    if name == TRAINED:
        dataset, model = dataset_of("family")
        policy = load_policy(SHARED / "policies" / name, dataset)
        triples = sample_triples(dataset.splits["test"], 6, 4)
        queries = corrupted_queries(triples, SIDES, Corruptor(dataset, number=50, seed=4))
        return Example(dataset, model, policy, settings_for(policy), queries)
    recording = read_recording(SHARED / "truth" / name)
    dataset, model = dataset_of(recording.dataset)
    queries = [query_of(index, query, dataset) for index, query in enumerate(recording.queries)]
    return Example(dataset, model, load_policy(recording.folder, dataset), recording.settings, queries)


def query_of(index: int, recorded: RecordedQuery, dataset: Dataset) -> Query:
    predicate, first, second = recorded.names
    place = 1 if recorded.side == "head" else 2
    names = [candidate.names[place] for candidate in recorded.candidates[1:]]
    constants = np.array([dataset.vocabulary.constant_index(name) for name in names], dtype=np.int64)
    side = SIDES[place - 1]
    return Query(index, dataset.triple(first, predicate, second), side, constants)


@pytest.mark.parametrize("name", [*RECORDINGS, TRAINED])
@pytest.mark.parametrize("engine", ["eager", "captured", "original"])
def test_pruned_tasks_have_the_ranks_of_whole_ones(name: str, engine: str) -> None:
    if name == LARGEST and engine != "eager":
        pytest.skip("slow: among the tests of all queries and of compiled engines")
    check(name, engine, NUM_QUERIES[engine])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECORDINGS, TRAINED])
def test_pruned_tasks_of_all_recorded_queries_have_the_ranks_of_whole_ones(name: str) -> None:
    check(name, "eager", len(example(name).queries))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECORDINGS, TRAINED])
@pytest.mark.parametrize("engine", ["default", "separate", "captured", "original"])
def test_pruned_tasks_of_other_engines_have_the_ranks_of_whole_ones(name: str, engine: str) -> None:
    check(name, engine, NUM_QUERIES["default"])


def check(name: str, engine: str, num_queries: int) -> None:
    asked = example(name)
    lanes = Lanes((64,), is_cost_by_lane=engine != "captured", ticks_per_look=1)
    scheduler = run_on(engine, lanes, asked.dataset, asked.policy, asked.settings, pool_size=128)
    try:
        counts = check_beside_each_other(scheduler, asked.queries[:num_queries], [asked.policy], asked.model)
    finally:
        scheduler.stop()
    if engine == "eager" and name != "nations-seed0":  # where every trajectory has one step
        assert all(count.unprovable + count.fallen_behind for count in counts)
