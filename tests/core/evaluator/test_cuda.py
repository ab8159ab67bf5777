"""On a CUDA device: every mode against recorded evaluations and the reference, to the bit under any load, without a
wait for the device while ticks are replayed, and within the memory that was announced. Elsewhere all is skipped.

    pytest tests/core/evaluator/test_cuda.py
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator, create_evaluator
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.evaluator.bits import buckets_with_other_bits
from proofrank.core.evaluator.modes import COMPILE_MODES
from proofrank.core.evaluator.recordings import Recording, read_recording
from proofrank.core.evaluator.replay import replay
from proofrank.core.evaluator.tick import WholeTick
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate
from tests.helpers.outcomes import assert_same
from tests.helpers.policies import make_policy

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

NUM_LANES = 64
CAPTURING = ("captured", "reduce-overhead", "graph-trees")
MODES = [
    # `fused-blocks` rounds otherwise: tests/core/policy/test_fused_block.py has its numbers.
    *((name, True) for name in COMPILE_MODES if name != "fused-blocks"),
    *((name, False) for name in ("default", "reduce-overhead", "separate")),
]


class Case:
    """A recording, its graph and its policy."""

    def __init__(self, name: str, data: Path, truth: Path) -> None:
        self.recording: Recording = read_recording(truth / name)
        self.dataset: Dataset = load_dataset(data / self.recording.dataset)
        self.policy: Policy = load_policy(self.recording.folder, self.dataset)
        self.candidates = [
            Candidate(self.dataset.triple(first, predicate, second), candidate.is_positive)
            for candidate in self.recording.candidates[:300]
            for predicate, first, second in (candidate.names,)
        ]

    def evaluator(
        self,
        folder: Path,
        mode: str = "captured",
        *,
        fullgraph: bool = True,
        buckets: tuple[int, ...] = (NUM_LANES,),
        precision: str = "float32",
        policy: Policy | None = None,
        device: str = "cuda",
    ) -> CompiledEvaluator:
        """A warm evaluator of this mode, which did not fall back to another."""
        evaluator = create_evaluator(
            mode, self.dataset, policy or self.policy, self.recording.settings, device=device,
            fullgraph=fullgraph, buckets=buckets, precision=precision, cache_folder=folder, calibrate=False,
        )  # fmt: skip
        assert isinstance(evaluator, CompiledEvaluator)
        evaluator.warm_up()
        assert evaluator.mode.compile_mode == mode
        return evaluator


@pytest.fixture(scope="module", params=["countries_s3-seed0", "family-seed0"])
def case(request: pytest.FixtureRequest, shared_data: Path, shared_truth: Path) -> Case:
    """Two recordings."""
    return Case(request.param, shared_data, shared_truth)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of artifacts for all tests."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(autouse=True)
def nothing_left_of_other_tests() -> None:
    """Memory is given back, and compiled code forgotten, of which the compiler allows only so many versions."""
    gc.collect()
    torch._dynamo.reset()
    torch.cuda.empty_cache()


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """While it lasts, whatever makes the host wait for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("mode", "fullgraph"), MODES)
def test_every_mode_gives_the_recorded_outcomes(mode: str, fullgraph: bool, case: Case, folder: Path) -> None:
    evaluator = case.evaluator(folder, mode, fullgraph=fullgraph)

    comparisons = replay(case.recording, case.dataset, evaluator, evaluator.reference)

    wrong = [comparison for comparison in comparisons if comparison.difference and not comparison.is_excused]
    assert not wrong


@pytest.mark.parametrize("mode", ["eager", "captured", "reduce-overhead"])
def test_outcomes_are_those_of_the_reference(mode: str, case: Case, folder: Path) -> None:
    candidates = case.candidates[:60]
    reference = ReferenceEvaluator(case.dataset, case.policy, case.recording.settings)

    assert_same(case.evaluator(folder, mode).evaluate(candidates), reference.evaluate(candidates))


@pytest.mark.parametrize("mode", CAPTURING)
def test_outcomes_are_the_same_to_the_bit_in_any_company_order_and_bucket(
    mode: str, case: Case, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = case.evaluator(folder, mode, buckets=(16, NUM_LANES, 512))

    together = evaluator.evaluate(case.candidates)

    assert evaluator.evaluate(case.candidates[::-1])[::-1] == together
    assert [evaluator.evaluate([candidate])[0] for candidate in case.candidates[:10]] == together[:10]
    assert evaluator.evaluate(case.candidates[:NUM_LANES]) == together[:NUM_LANES]
    assert buckets_with_other_bits(evaluator, case.candidates) == []
    assert "other bits" not in caplog.text


@pytest.mark.parametrize("mode", CAPTURING)
def test_a_mode_that_captures_has_captured(mode: str, case: Case, folder: Path) -> None:
    before = compile_counts().cuda_graphs

    case.evaluator(folder, mode)

    assert compile_counts().cuda_graphs > before


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
@pytest.mark.parametrize("mode", CAPTURING)
def test_a_device_that_is_not_the_current_one_gives_the_same_outcomes(
    mode: str, case: Case, folder: Path
) -> None:
    reference = ReferenceEvaluator(case.dataset, case.policy, case.recording.settings)
    candidates = case.candidates[:60]
    with torch.cuda.device(0):
        evaluator = case.evaluator(folder, mode, device="cuda:1")

        # Many times: a copy that is read before it is there is wrong only now and then.
        outcomes = [evaluator.evaluate(candidates) for _ in range(20)]

    assert_same(outcomes[0], reference.evaluate(candidates))
    assert all(again == outcomes[0] for again in outcomes)


@pytest.mark.parametrize("mode", ["captured", "reduce-overhead"])
def test_the_stream_never_waits_for_the_last_replay(mode: str, case: Case, folder: Path) -> None:
    evaluator = case.evaluator(folder, mode)
    expected = evaluator.evaluate(case.candidates)
    slots = evaluator.submit(case.candidates)
    done: dict[int, object] = {}

    with no_synchronisation():
        while len(done) < len(slots):
            evaluator.advance(evaluator.ticks_per_look)
            done.update(evaluator.collect())

    assert [done[slot] for slot in slots] == expected


def test_a_capture_that_fails_leaves_the_stream_as_it_was_and_the_same_outcomes(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = case.evaluator(folder).evaluate(case.candidates)
    run = WholeTick.run

    def run_and_wait(self: WholeTick) -> None:
        run(self)
        if torch.cuda.is_current_stream_capturing():
            self.buffers.counters.tolist()  # which no capture allows

    monkeypatch.setattr(WholeTick, "run", run_and_wait)
    before = torch.cuda.current_stream()

    outcomes = case.evaluator(folder).evaluate(case.candidates)

    assert "ticks cannot be captured here" in caplog.text
    assert torch.cuda.current_stream() == before
    assert outcomes == expected


def test_a_whole_batch_waits_for_nothing_but_the_replay_before(case: Case, folder: Path) -> None:
    evaluator = case.evaluator(folder)
    expected = evaluator.evaluate(case.candidates)

    with no_synchronisation():
        outcomes = evaluator.evaluate(case.candidates)

    assert outcomes == expected


@pytest.mark.parametrize("mode", ["captured", "reduce-overhead"])
def test_another_policy_needs_no_capture_and_no_compiler(mode: str, case: Case, folder: Path) -> None:
    config = case.policy.network.config
    other = make_policy(
        case.dataset, 3, spread=0.5, max_variables=config.max_variables, embedding_dim=config.embedding_dim,
        hidden_dim=config.hidden_dim, num_layers=config.num_layers, l2_norm=config.l2_norm,
        sqrt_scale=config.sqrt_scale, temperature=config.temperature, state_pooling=config.state_pooling,
        padding_atoms=config.padding_atoms,
    )  # fmt: skip
    evaluator = case.evaluator(folder, mode, policy=other)
    evaluator.evaluate(case.candidates)
    before, addresses = compile_counts(), evaluator.buffer_addresses()

    evaluator.load_policy(case.policy)
    outcomes = evaluator.evaluate(case.candidates)

    assert (compile_counts(), evaluator.buffer_addresses()) == (before, addresses)
    assert_same(outcomes, case.evaluator(folder, "eager").evaluate(case.candidates))


@pytest.mark.parametrize("num_lanes", [64, 512, 4096])
def test_a_bucket_takes_no_more_memory_than_was_announced(num_lanes: int, case: Case, folder: Path) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()

    evaluator = case.evaluator(folder, buckets=(num_lanes,))
    evaluator.evaluate(case.candidates)

    # Pool, tables, parameters and the libraries' workspaces come on top; none of them grows with the lanes.
    apart = 256 * 2**20
    assert torch.cuda.max_memory_allocated() - before <= evaluator.required_bytes + apart


def test_what_does_not_fit_is_refused_with_the_number(case: Case, folder: Path) -> None:
    with pytest.raises(
        EvaluationError, match=r"needs about [\d.]+ GiB on cuda.*GiB are free; use fewer lanes"
    ):
        case.evaluator(folder, buckets=(2**26,))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precisions_stay_near_float32(precision: str, case: Case, folder: Path) -> None:
    exact = case.evaluator(folder).evaluate(case.candidates)

    outcomes = case.evaluator(folder, precision=precision).evaluate(case.candidates)

    same = [
        abs(one.log_probability - other.log_probability)
        for one, other in zip(outcomes, exact, strict=True)
        if one.actions == other.actions
    ]
    assert len(same) > 0.7 * len(exact)
    assert 0 < max(same) < 1


def test_float32_has_the_same_bits_where_the_process_allows_tf32(case: Case, folder: Path) -> None:
    exact = case.evaluator(folder).evaluate(case.candidates)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert case.evaluator(folder).evaluate(case.candidates) == exact
    finally:
        torch.set_float32_matmul_precision(before)


def test_calibration_is_measured_and_kept(case: Case, tmp_path: Path) -> None:
    evaluators = [
        create_evaluator(
            "captured", case.dataset, case.policy, case.recording.settings, device="cuda",
            cache_folder=tmp_path,
        )
        for _ in range(2)
    ]  # fmt: skip

    first, second = evaluators
    assert isinstance(first, CompiledEvaluator)
    assert isinstance(second, CompiledEvaluator)
    assert (first.capacities, first.ticks_per_look) == (second.capacities, second.ticks_per_look)
