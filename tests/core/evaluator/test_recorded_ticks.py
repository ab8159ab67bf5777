"""Groups of ticks that are recorded and replayed, with a look at what is done one replay late: exact, in place, and
without anything for which a host would have to wait. On a CPU the recorder calls the ticks; the loop is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu_gate.traced import reads_back
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import ReferenceEvaluator, bucket_ticks
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.graphs import CallingRecorder, RecordedTicks
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.snapshots import Snapshots
from proofrank.core.evaluator.tick_program import TickProgram, tensors_of
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidates, Outcome, ProverSettings
from proofrank.core.prover.lanes import action_dtype_of, empty_pool
from tests.helpers.datasets import DatasetMaker
from tests.helpers.outcomes import assert_same
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy

SETTINGS = ProverSettings(max_depth=6, padding_states=12)
ENOUGH_TICKS = 200


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Paths."""
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    """A policy of many choices."""
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy) -> list[Outcome]:
    """What the reference says of every path."""
    return list(ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(all_paths(dataset)))


def outcomes_at(slots: Iterable[int], outcomes: Mapping[int, object]) -> list[Outcome]:
    """The outcomes of ``slots``, none of which may be an error."""
    found = [outcomes[slot] for slot in slots]
    assert all(isinstance(outcome, Outcome) for outcome in found)
    return cast(list[Outcome], found)


def captured(
    dataset: Dataset,
    policy: Policy,
    *,
    settings: ProverSettings = SETTINGS,
    num_lanes: int = 4,
    pool_size: int = 16,
    ticks_per_look: int = 4,
) -> CompiledEvaluator:
    """An evaluator whose ticks are recorded."""
    return CompiledEvaluator(
        dataset,
        policy,
        settings,
        EvaluatorOptions(buckets=(num_lanes,), pool_size=pool_size, ticks_per_look=ticks_per_look),
        compile_mode="captured",
    )


@pytest.mark.parametrize(
    ("pool_size", "ticks_per_look", "number"), [(1, 1, 4), (5, 3, 20), (5, 8, 12), (64, 4, 36)]
)
def test_looking_one_replay_late_gives_the_outcomes_of_the_reference(
    pool_size: int,
    ticks_per_look: int,
    number: int,
    dataset: Dataset,
    policy: Policy,
    expected: list[Outcome],
) -> None:
    evaluator = captured(dataset, policy, pool_size=pool_size, ticks_per_look=ticks_per_look)
    candidates = all_paths(dataset)[:number]

    first, again = (evaluator.evaluate(candidates) for _ in range(2))

    assert_same(first, expected[:number])
    assert again == first
    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, pool_size)


def test_recorded_actions_are_followed_through_replays(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    actions = [outcome.actions for outcome in expected]

    outcomes = captured(dataset, make_policy(dataset, 2)).evaluate(
        all_paths(dataset), recorded_actions=actions
    )

    assert [outcome.actions for outcome in outcomes] == actions


def test_an_error_of_one_candidate_leaves_the_evaluator_as_good_as_before(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, policy)
    candidates = all_paths(dataset)

    with pytest.raises(EvaluationError, match="action of its record does not exist"):
        evaluator.evaluate(candidates, recorded_actions=[(99,)] * len(candidates))

    assert_same(evaluator.evaluate(candidates), expected)


def test_a_stream_of_any_number_of_ticks_gives_the_outcomes_of_the_reference(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, policy, pool_size=64)
    slots = evaluator.submit(all_paths(dataset))
    done: dict[int, Outcome] = {}

    for num_ticks in [1, 2, 3, 5, 7, 11] * 10:
        if len(done) == len(slots):
            break
        evaluator.advance(num_ticks)
        done.update((slot, outcome) for slot, outcome in evaluator.collect() if isinstance(outcome, Outcome))

    assert_same([done[slot] for slot in slots], expected)


def test_a_look_tells_what_was_done_at_the_look_before_and_one_more_tells_all(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, policy, pool_size=64)
    slots = evaluator.submit(all_paths(dataset))

    evaluator.advance(ENOUGH_TICKS)
    assert evaluator.collect() == [], "it waited for the ticks"
    assert evaluator.num_in_flight == len(slots)

    outcomes = dict(evaluator.collect())
    assert_same(outcomes_at(slots, outcomes), expected)
    assert evaluator.collect() == []
    assert (evaluator.num_in_flight, evaluator.num_free_slots) == (0, 64)


def test_a_slot_that_is_given_to_another_before_the_look_tells_nothing_of_the_one_before(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, policy, pool_size=8, num_lanes=8)
    candidates = all_paths(dataset)
    waiting = list(range(len(candidates)))
    index_of_slot: dict[int, int] = {}
    done: dict[int, Outcome] = {}
    for turn in range(500):
        batch = waiting[: evaluator.num_free_slots]
        del waiting[: len(batch)]
        slots = evaluator.submit([candidates[index] for index in batch])
        index_of_slot.update(zip(slots, batch, strict=True))
        if turn % 3 == 2 and turn < 60:
            # It was done, ran or waited; it comes again, and another gets its slot at once.
            cancelled = next(iter(index_of_slot))
            evaluator.cancel([cancelled])
            waiting.append(index_of_slot.pop(cancelled))
        evaluator.advance(1 + turn % 5)
        for slot, outcome in evaluator.collect():
            assert isinstance(outcome, Outcome)
            done[index_of_slot.pop(slot)] = outcome
        if len(done) == len(candidates):
            break

    assert_same(outcomes_at(range(36), done), expected)


def test_as_many_ticks_run_as_were_asked_for(dataset: Dataset, policy: Policy) -> None:
    evaluator = captured(dataset, policy, ticks_per_look=4)

    for num_ticks in (1, 4, 11):
        before = evaluator.work.ticks
        evaluator.advance(num_ticks)
        assert evaluator.work.ticks - before == num_ticks


def test_ticks_are_replayed_in_groups_and_the_rest_one_by_one() -> None:
    recorded: list[int] = []

    class Remembering(CallingRecorder):
        def record(self, tick: Callable[[], None], num_ticks: int) -> Callable[[], None]:
            tick()  # as a warm-up before a capture
            return lambda: recorded.append(num_ticks)

    ticks = RecordedTicks(lambda: None, 4, Remembering())

    ticks.advance(11)

    assert recorded == [4, 4, 1, 1, 1]


class RefusingRecorder(CallingRecorder):
    """Records groups of one tick alone."""

    def record(self, tick: Callable[[], None], num_ticks: int) -> Callable[[], None]:
        tick()
        if num_ticks > 1:
            raise RuntimeError("operation not permitted when stream is capturing")
        return super().record(tick, num_ticks)


def test_ticks_that_cannot_be_recorded_are_called_with_a_warning_and_the_same_results(
    dataset: Dataset,
    policy: Policy,
    expected: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bucket_ticks, "CallingRecorder", RefusingRecorder)
    evaluator = captured(dataset, policy)
    addresses = evaluator.buffer_addresses()

    outcomes = evaluator.evaluate(all_paths(dataset))

    assert_same(outcomes, expected)
    assert set(addresses) <= set(evaluator.buffer_addresses())
    [record] = caplog.records
    assert (
        "ticks cannot be captured here (operation not permitted when stream is capturing)" in record.message
    )


def test_no_memory_for_a_capture_is_no_reason_to_go_on_without() -> None:
    class Full(CallingRecorder):
        def record(self, tick: Callable[[], None], num_ticks: int) -> Callable[[], None]:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        RecordedTicks(lambda: None, 4, Full())


def test_another_policy_runs_in_the_same_memory(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, make_policy(dataset, 7, spread=2.0))
    evaluator.evaluate(all_paths(dataset))
    addresses = evaluator.buffer_addresses()

    evaluator.load_policy(policy)

    assert_same(evaluator.evaluate(all_paths(dataset)), expected)
    assert evaluator.buffer_addresses() == addresses
    assert len(addresses) > 60


def test_a_recorded_action_that_no_kept_action_can_be_is_an_error_and_does_not_become_another(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    number = next(place for place, outcome in enumerate(expected) if outcome.steps > 1)
    actions = list(expected[number].actions)
    evaluator = captured(dataset, policy)
    assert evaluator.make_tick(4).buffers.pool.recorded.dtype == torch.int16

    for beyond in (2**16, 2**32):
        with pytest.raises(EvaluationError, match="an action of its record does not exist"):
            evaluator.evaluate(
                [all_paths(dataset)[number]], recorded_actions=[[actions[0] + beyond, *actions[1:]]]
            )


@pytest.mark.parametrize(
    ("padding_states", "dtype"), [(32_767, torch.int16), (32_768, torch.int32), (2**31 - 1, torch.int32)]
)
def test_actions_are_kept_in_the_fewest_bits_that_hold_every_action(
    padding_states: int, dtype: torch.dtype
) -> None:
    assert action_dtype_of(ProverSettings(padding_states=padding_states)) == dtype


def test_more_actions_than_any_type_holds_are_refused() -> None:
    with pytest.raises(EvaluationError, match="padding_states is 2147483648; expected at most 2147483647"):
        action_dtype_of(ProverSettings(padding_states=2**31))


class HostReads(TorchDispatchMode):
    """Remembers operations for whose result a host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.num_operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.num_operations += 1
        if reads_back(function, args):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


def test_the_loop_of_replays_reads_nothing_of_the_device_but_the_copies_of_outcomes(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, policy, pool_size=64)
    evaluator.warm_up()
    candidates = Candidates.of(all_paths(dataset))

    with HostReads() as reads:
        outcomes = evaluator.evaluate(candidates)

    assert_same(outcomes, expected)
    assert reads.num_operations > 1000
    assert reads.found == []


class CopiesInto(TorchDispatchMode):
    """Counts operations that write into the storages of some tensors."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.number = 0
        self._storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        is_write = any(given.alias_info and given.alias_info.is_write for given in function._schema.arguments)
        if is_write and args[0].untyped_storage().data_ptr() in self._storages:
            self.number += 1
        return result


def test_another_policy_is_one_copy_into_the_weights(
    dataset: Dataset, policy: Policy, expected: list[Outcome]
) -> None:
    evaluator = captured(dataset, make_policy(dataset, 7, spread=2.0))
    network = evaluator.make_tick(4).network
    weights = [*network.parameters(), *network.buffers()]
    policies = [policy, make_policy(dataset, 8), policy]

    with CopiesInto(weights) as copies:
        for number, other in enumerate(policies, start=1):
            evaluator.load_policy(other)
            assert evaluator.num_weight_copies == copies.number == number
        evaluator.load_policy(policy)

    assert evaluator.num_weight_copies == copies.number == len(policies)
    assert len({tensor.untyped_storage().data_ptr() for tensor in weights}) == 1
    assert_same(evaluator.evaluate(all_paths(dataset)), expected)


@pytest.mark.parametrize("skip_unary_actions", [False, True])
def test_a_tick_of_fixed_shape_reads_nothing_back_to_the_host(
    skip_unary_actions: bool, dataset: Dataset
) -> None:
    settings = ProverSettings(max_depth=3, padding_states=12, skip_unary_actions=skip_unary_actions)
    evaluator = captured(dataset, make_policy(dataset, max_variables=20_000), settings=settings)
    evaluator.warm_up()
    tick = evaluator.tick_of(4)
    # Tensors without memory: whatever asks for a value, or for a shape that hangs on one, is an error.
    tensors = [torch.empty_like(tensor, device="meta") for tensor in tensors_of(tick)]

    with torch.no_grad(), DeviceWatch() as watch:
        TickProgram(tick)(tensors)

    assert watch.num_operations > 500
    assert watch.devices == {"meta"}, "something was copied from the host"


class DeviceWatch(TorchDispatchMode):
    """Remembers on which devices the tensors of all operations were."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.num_operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.num_operations += 1
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, Tensor):
                self.devices.add(value.device.type)
        return result


def test_a_snapshot_is_that_of_the_look_before() -> None:
    pool = empty_pool(3, 2, torch.device("cpu"))
    snapshots = Snapshots(pool)
    steps: list[int | None] = []

    for number in range(5):
        pool.steps.fill_(number)
        snapshots.take(4)
        snapshot = snapshots.before_last()
        steps.append(None if snapshot is None else int(snapshot.outcomes.steps[0]))

    assert steps == [None, 0, 1, 2, 3]


def test_a_snapshot_has_as_many_slots_as_were_asked_for() -> None:
    pool = empty_pool(3, 2, torch.device("cpu"))
    snapshots = Snapshots(pool)

    for num_slots in (2, 0, 3):
        snapshots.take(num_slots)
        snapshots.take(4)
        snapshot = snapshots.before_last()
        assert snapshot is not None
        assert {len(column) for column in snapshot.outcomes} == {num_slots}


def test_without_a_compiler_cuda_still_captures_and_a_cpu_follows_the_true_counts() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")

    assert Mode.of("reduce-overhead", fullgraph=True, device=cuda).uncompiled(cuda).engine == "captured"
    assert Mode.of("default", fullgraph=True, device=cuda).uncompiled(cuda).engine == "eager"
    fused = Mode.of("fused-blocks", fullgraph=True, device=cuda)
    assert fused.products == "tf32x3"
    assert (fused.uncompiled(cuda).engine, fused.uncompiled(cuda).products) == ("captured", None)
    assert Mode.of("separate", fullgraph=True, device=cpu).uncompiled(cpu).is_trimming


@pytest.mark.parametrize("name", ["reduce-overhead", "graph-trees", "fused-blocks"])
def test_modes_of_cuda_alone_are_refused_elsewhere(name: str) -> None:
    with pytest.raises(EvaluationError, match=f"'{name}' captures CUDA graphs and needs a CUDA device"):
        Mode.of(name, fullgraph=True, device=torch.device("cpu"))


def test_no_tick_between_looks_is_refused(dataset: Dataset, policy: Policy) -> None:
    with pytest.raises(EvaluationError, match="ticks_per_look is 0; expected 1 or more"):
        captured(dataset, policy, ticks_per_look=0)
