"""Calibration: what lanes ask for, the buffers that are fitted to it, and the file that a restart reads."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import (
    CompiledEvaluator,
    ReferenceEvaluator,
    calibration_store,
    create_evaluator,
)
from proofrank.core.evaluator.calibration import (
    Calibration,
    calibrate,
    choose_buckets,
    choose_ticks_per_look,
    measure_demand,
    timed,
)
from proofrank.core.evaluator.capacities import Demand, PerLane, check_capacities, choose_capacities
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.evaluator.sample import repeated, sample_candidates
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.prover import Candidate, ProverSettings
from proofrank.core.prover.tables import build_tables
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(max_depth=5, padding_states=12)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    """A policy of many choices."""
    return make_policy(dataset, 1, spread=2.0)


def evaluator_in(
    folder: Path, dataset: Dataset, policy: Policy, *, calibrate: bool = True
) -> CompiledEvaluator:
    """An evaluator of fixed shapes that keeps its calibration in ``folder``."""
    evaluator = create_evaluator(
        "captured", dataset, policy, SETTINGS, device="cpu", buckets=(4, 256), cache_folder=folder,
        calibrate=calibrate,
    )  # fmt: skip
    assert isinstance(evaluator, CompiledEvaluator)
    return evaluator


def states_of(evaluator: CompiledEvaluator) -> list[int]:
    """States scored in a tick, of each bucket."""
    return [capacities.num_states for capacities in evaluator.capacities.values()]


@pytest.mark.parametrize("num_lanes", [1, 64, 512, 4096])
@pytest.mark.parametrize("states", [0.0, 0.3, 12.5, 80.0])
def test_what_is_fitted_is_less_than_is_asked_for_and_enough_for_any_lane(
    num_lanes: int, states: float, dataset: Dataset
) -> None:
    tables = build_tables(dataset, CPU)
    demand = Demand(rows=14.0, checks=58.0, states=states)

    capacities = choose_capacities(num_lanes, tables, SETTINGS, PerLane(), demand)

    check_capacities(capacities, tables, SETTINGS)
    assert capacities.num_states % CHUNK_ROWS == 0
    counting = choose_capacities(num_lanes, tables, SETTINGS, PerLane(), demand, is_counting=True)
    assert counting.num_states >= max(CHUNK_ROWS, num_lanes * states)
    assert capacities.num_states <= max(CHUNK_ROWS, 0.8 * num_lanes * states)
    assert capacities.num_rows >= num_lanes * demand.rows
    assert capacities.num_checks >= num_lanes * demand.checks


def test_sizes_that_are_set_go_over_what_is_fitted(dataset: Dataset) -> None:
    tables = build_tables(dataset, CPU)

    set_by_hand = choose_capacities(
        512,
        tables,
        SETTINGS,
        PerLane(rows=9, checks=5, states=2),
        Demand(rows=40.0, checks=50.0, states=30.0),
    )

    assert (set_by_hand.num_rows, set_by_hand.num_checks, set_by_hand.num_states) == (512 * 9, 512 * 5, 1024)


def test_the_sample_is_seeded_and_has_positives_and_corruptions(dataset: Dataset) -> None:
    sample = sample_candidates(dataset)

    assert sample == sample_candidates(dataset)
    assert {candidate.is_positive for candidate in sample} == {True, False}
    assert len(repeated(sample, 1000)) == 1000


def test_candidates_that_cannot_be_evaluated_do_not_stop_a_calibration(dataset: Dataset) -> None:
    policy = make_policy(dataset)
    policy.network.head_output.bias.data.fill_(torch.nan)

    demand = measure_demand(dataset, policy, SETTINGS, CPU, sample_candidates(dataset))

    assert demand.rows > 0


def test_fitted_buffers_give_the_outcomes_of_the_reference(
    tmp_path: Path, dataset: Dataset, policy: Policy
) -> None:
    evaluator = evaluator_in(tmp_path, dataset, policy)

    outcomes = evaluator.evaluate(all_paths(dataset) * 10)

    assert_same(outcomes, [*ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(all_paths(dataset))] * 10)


def test_a_restart_has_the_same_buffers_even_with_another_policy(
    tmp_path: Path, dataset: Dataset, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = states_of(evaluator_in(tmp_path, dataset, policy))
    monkeypatch.setattr(calibration_store, "calibrate", lambda *_, **__: pytest.fail("calibrated again"))

    assert states_of(evaluator_in(tmp_path, dataset, make_policy(dataset, 9, spread=0.1))) == first
    evaluator_in(tmp_path / "elsewhere", dataset, policy, calibrate=False)
    assert not (tmp_path / "elsewhere").exists()


def test_engines_whose_buffers_follow_the_counts_are_not_calibrated(
    tmp_path: Path, dataset: Dataset, policy: Policy
) -> None:
    create_evaluator("eager", dataset, policy, SETTINGS, device="cpu", cache_folder=tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"demand": {}, "ticks_per_look": 4, "buckets": [4]}', "[" * 2000, "x" * 100_000,
     '{"demand": {"rows": 1, "checks": NaN, "states": 1}, "ticks_per_look": 4, "buckets": [4]}',
     '{"demand": {"rows": 1, "checks": 1, "states": 1}, "ticks_per_look": 0, "buckets": [4]}'],
    ids=["empty", "list", "nothing", "no demand", "deep", "long", "nan", "no ticks"],
)  # fmt: skip
def test_a_damaged_file_is_made_again_with_a_warning(
    content: str, tmp_path: Path, dataset: Dataset, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    first = states_of(evaluator_in(tmp_path, dataset, policy))
    (path,) = tmp_path.glob("calibration-*.json")
    path.write_text(content)

    assert states_of(evaluator_in(tmp_path, dataset, policy)) == first

    assert "is damaged" in caplog.text
    assert json.loads(path.read_text())["buckets"] == [4, 256]


def test_a_folder_that_cannot_be_written_to_is_a_warning(
    tmp_path: Path, dataset: Dataset, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    evaluator_in(tmp_path / "file", dataset, policy)

    assert "the calibration is not kept" in caplog.text


def test_the_fewest_ticks_that_are_nearly_the_fastest_are_chosen() -> None:
    assert choose_ticks_per_look({1: 2.0, 2: 1.5, 4: 1.01, 8: 1.0, 16: 1.2}) == 4
    assert choose_ticks_per_look({1: 1.0, 2: 1.0}) == 1


def test_lanes_are_added_while_they_pay() -> None:
    assert choose_buckets({64: 10.0, 512: 80.0, 4096: 200.0, 16384: 203.0}) == (64, 512, 4096)
    assert choose_buckets({64: 10.0}) == (64,)
    with pytest.raises(EvaluationError, match="no bucket fits into memory"):
        choose_buckets({})


def test_on_a_cpu_buckets_and_ticks_are_those_asked_for_and_the_usual_ones(
    dataset: Dataset, policy: Policy
) -> None:
    made = calibrate(dataset, policy, SETTINGS, CPU, buckets=(7,))

    assert made == Calibration(made.demand, 4, (7,))
    assert made.demand.rows >= made.demand.states > 0


@pytest.mark.parametrize(
    "refusal", [EvaluationError("needs 9 GiB"), torch.OutOfMemoryError("tried to allocate 9 GiB")]
)
def test_lanes_are_tried_one_evaluator_at_a_time_up_to_where_memory_ends(
    refusal: Exception, dataset: Dataset, policy: Policy
) -> None:
    made: list[weakref.ref[CompiledEvaluator]] = []
    tried: list[tuple[int, int]] = []

    def make(num_lanes: int, ticks_per_look: int) -> CompiledEvaluator:
        assert not any(evaluator() for evaluator in made), "memory for two is needed"
        tried.append((num_lanes, ticks_per_look))
        if num_lanes > 64:
            raise refusal
        evaluator = CompiledEvaluator(
            dataset,
            policy,
            ProverSettings(max_depth=1, padding_states=4),
            EvaluatorOptions(buckets=(num_lanes,), ticks_per_look=ticks_per_look),
            compile_mode="captured",
        )
        made.append(weakref.ref(evaluator))
        return evaluator

    before = Calibration(Demand(1.0, 1.0, 1.0), 4, (512,))

    after = timed(before, make, all_paths(dataset)[:4], None)

    assert after.buckets == (64,)
    assert tried == [(64, 4), (512, 4), *((64, ticks) for ticks in (1, 2, 4, 8, 16))]


def test_where_memory_ends_at_once_nothing_is_timed_and_a_warning_says_so(
    dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    def make(num_lanes: int, ticks_per_look: int) -> CompiledEvaluator:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    before = Calibration(Demand(1.0, 1.0, 1.0), 4, (512,))

    assert timed(before, make, all_paths(dataset), (512,)) == before
    assert "calibration could not be timed: tried to allocate 9 GiB" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("eager", "family-seed0"),
        ("eager", "wn18rr-seed0"),
        ("default", "family-seed0"),
        ("default", "wn18rr-seed0"),
        ("captured", "family-seed0"),
        pytest.param(
            "captured", "wn18rr-seed0",
            marks=pytest.mark.xfail(strict=True, reason="lanes wait for checks of the facts of hubs: 35 %"),
        ),
    ],
)  # fmt: skip
def test_padding_wastes_less_than_fifteen_percent_in_a_long_run(
    engine: str, name: str, shared_data: Path, shared_truth: Path, tmp_path: Path
) -> None:
    recording = read_recording(shared_truth / name)
    graph = load_dataset(shared_data / recording.dataset)
    evaluator = create_evaluator(
        engine, graph, load_policy(recording.folder, graph), recording.settings, device="cpu",
        buckets=(512,), cache_folder=tmp_path,
    )  # fmt: skip
    assert isinstance(evaluator, CompiledEvaluator)
    evaluator.warm_up()
    before = evaluator.work
    candidates = [
        Candidate(graph.triple(first, predicate, second), candidate.is_positive)
        for candidate in recording.candidates
        for predicate, first, second in (candidate.names,)
    ]

    evaluator.evaluate(repeated(candidates, 8000))

    assert evaluator.engine == engine
    assert (evaluator.work - before).padding_waste < 0.15
