"""The tools of the stages: the device, the sizes, and evaluators one at a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.common import Workload, load_workload
from benchmarks.device.modes import is_compiled
from benchmarks.device.record import LeftOut, text_of
from proofrank.core.default import DATASET, POLICY
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.evaluator.calibration import Calibration
from proofrank.core.evaluator.calibration_store import CalibrationStore
from proofrank.core.evaluator.engines import automatic_mode
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.options import POOL_SIZE, TICKS_PER_LOOK, EvaluatorOptions
from proofrank.core.evaluator.tick import Tick


@dataclass(frozen=True)
class Sizes:
    """The extent of the measurements.

    Attributes:
        is_quick: whether the programs are only tried: small, without the compiler, on any available graph.
        workloads: (queries, corruptions of each) of the stage of times.
        lanes: lanes of the buckets that are timed.
        most_lanes: lanes of the curves over lanes, ascending.
        parity_lanes: lanes of the bucket that is compared with the original.
        property_lanes: lanes of the buckets whose bits are compared with each other, ascending.
        sample_queries: number of queries for the original.
        repeats: number of measurements of each time, after one run that is not counted.
        square: side of the square matrices whose product gives the device's rate.
        copied_bytes: size of the tensor whose copy gives its bandwidth.
        all_entities_queries: number of queries that are ranked against all entities.
    """

    is_quick: bool
    workloads: tuple[tuple[int, int], ...]
    lanes: tuple[int, ...]
    most_lanes: tuple[int, ...]
    parity_lanes: int
    property_lanes: tuple[int, ...]
    sample_queries: int
    repeats: int
    square: int
    copied_bytes: int
    all_entities_queries: int


WHOLE = Sizes(
    is_quick=False,
    workloads=((100, 50), (1000, 100)),
    lanes=(4096, 16384),
    most_lanes=(64, 512, 4096, 16384, 65536),
    parity_lanes=512,
    property_lanes=(64, 512, 4096),
    sample_queries=8,
    repeats=5,
    square=8192,
    copied_bytes=1 << 30,
    all_entities_queries=20,
)
QUICK = Sizes(
    is_quick=True,
    workloads=((2, 4),),
    lanes=(8,),
    most_lanes=(4, 1 << 40),
    parity_lanes=64,
    property_lanes=(4, 32),
    sample_queries=1,
    repeats=2,
    square=64,
    copied_bytes=1 << 20,
    all_entities_queries=1,
)
"""The last bucket exceeds any memory, so that a refusal is tried too."""


@dataclass(frozen=True)
class Bench:
    """One run.

    Attributes:
        device: device to measure.
        sizes: extent of the measurements.
        side: side of the queries, ``head`` or ``tail``.
        shared: folder of datasets (``data``) and recordings with their policies (``truth``).
        cache_folder: folder of compiled artifacts during the run.
        out: folder of the results.
    """

    device: torch.device
    sizes: Sizes
    side: str
    shared: Path
    cache_folder: Path
    out: Path

    @property
    def is_on_cuda(self) -> bool:
        """Whether the device is a CUDA card."""
        return self.device.type == "cuda"

    def require_cuda(self) -> None:
        """Raises LeftOut on any other device."""
        if not self.is_on_cuda:
            raise LeftOut(f"needs a CUDA device; this is {self.device}")

    @property
    def automatic_mode(self) -> str:
        """The compile mode that ``auto`` stands for on the device."""
        return automatic_mode(self.device)

    def workload(self, name: str, num_queries: int, num_corruptions: int | None) -> Workload:
        """Returns queries of a shared dataset with the policy of its recording; a quick run may fall back to the
        package's.

        Raises:
            LeftOut: the dataset or the policy is not there.
        """
        dataset, policy = self.shared / "data" / name, self.shared / "truth" / f"{name}-seed0"
        if not (dataset.is_dir() and policy.is_dir()):
            if not self.sizes.is_quick:
                raise LeftOut(f"{dataset} or {policy} is missing; --shared names the folder of both")
            dataset, policy = DATASET, POLICY
        return load_workload(dataset, policy, num_queries, num_corruptions, self.side)

    def check_mode(self, compile_mode: str) -> None:
        """Raises LeftOut for a mode that takes too long for a quick run."""
        if self.sizes.is_quick and is_compiled(compile_mode):
            raise LeftOut("the compiler takes longer than a quick run")

    @contextmanager
    def evaluator(
        self,
        workload: Workload,
        num_lanes: int,
        *,
        compile_mode: str | None = None,
        fullgraph: bool = True,
        precision: str = "float32",
        fewer_lanes: Sequence[int] = (),
    ) -> Iterator[ReadyEvaluator]:
        """Yields a warm evaluator, which is alone on the device while the context lasts.

        Args:
            workload: workload with the graph and the policy.
            num_lanes: number of lanes of its bucket.
            compile_mode: compile mode; the fastest by default.
            fullgraph: whether the compiler must take the tick as one graph.
            precision: precision of the matrix products.
            fewer_lanes: numbers of lanes of other buckets.

        Raises:
            LeftOut: the mode is not for a quick run, the device lacks it, or the memory does not suffice.
            RuntimeError: it could not be compiled and would run eagerly.
        """
        mode = compile_mode or self.automatic_mode
        self.check_mode(mode)
        self.release()
        began = time.perf_counter()
        try:
            calibration = self._calibration(workload, mode, precision)
            calibrated = time.perf_counter()
            evaluator = CompiledEvaluator(
                workload.dataset,
                workload.policy,
                workload.settings,
                EvaluatorOptions(
                    device=self.device,
                    buckets=(*fewer_lanes, num_lanes),
                    pool_size=max(POOL_SIZE, 2 * num_lanes),
                    cache_folder=self.cache_folder,
                    precision=precision,
                    demand=calibration.demand if calibration is not None else None,
                    ticks_per_look=calibration.ticks_per_look if calibration is not None else TICKS_PER_LOOK,
                ),
                compile_mode=mode,
                fullgraph=fullgraph,
            )
        except (EvaluationError, torch.OutOfMemoryError) as error:
            # A refusal is a result, with the required memory in its message; later errors are failures.
            raise LeftOut(text_of(error)) from error
        evaluator.warm_up()
        self.synchronize()
        if evaluator.mode.compile_mode != mode:
            raise RuntimeError(
                f"{mode} could not be compiled and runs as {evaluator.engine}; see the warning"
            )
        try:
            yield ReadyEvaluator(evaluator, num_lanes, calibrated - began, time.perf_counter() - calibrated)
        finally:
            del evaluator
            self.release()

    def _calibration(self, workload: Workload, compile_mode: str, precision: str) -> Calibration | None:
        """Returns the calibration for all buckets; None if buffers follow the true counts.

        A lane's needs are the same in all buckets; the ticks of a replay are those of the first bucket that is timed.
        """
        if Mode.of(compile_mode, fullgraph=True, device=self.device).is_trimming:
            return None
        return CalibrationStore(self.cache_folder).calibrated(
            workload.dataset,
            workload.policy,
            workload.settings,
            self.device,
            precision=precision,
            buckets=self.sizes.lanes[:1],
        )

    def release(self) -> None:
        """Frees memory and drops compiled code, of which the compiler allows only a limited number of versions."""
        gc.collect()
        torch._dynamo.reset()
        if self.is_on_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def synchronize(self) -> None:
        """Waits for the device."""
        if self.is_on_cuda:
            torch.cuda.synchronize(self.device)

    def peak_gib(self) -> float | str:
        """Returns the peak of memory since the last :meth:`release` in GiB, or why there is none."""
        if not self.is_on_cuda:
            return "counted on CUDA only"
        return torch.cuda.max_memory_allocated(self.device) / 2**30

    def timed(self, work: Callable[[], object]) -> Timing:
        """Runs ``work`` once, between two events of the device."""
        self.synchronize()
        began = time.perf_counter()
        if not self.is_on_cuda:
            work()
            seconds = time.perf_counter() - began
            return Timing(seconds, seconds)
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        work()
        last.record()
        self.synchronize()
        return Timing(first.elapsed_time(last) / 1e3, time.perf_counter() - began)

    def repeated(self, work: Callable[[], object], *, repeats: int | None = None) -> list[Timing]:
        """Runs ``work`` once to warm up and then ``repeats`` times, by default the number in the sizes."""
        work()
        return [self.timed(work) for _ in range(repeats or self.sizes.repeats)]


@dataclass(frozen=True)
class ReadyEvaluator:
    """A warm evaluator.

    Attributes:
        evaluator: evaluator with one bucket, or several.
        num_lanes: number of lanes of its largest bucket.
        calibration_seconds: time of the calibration, unless an earlier one was used.
        ready_seconds: time from its making to warm.
    """

    evaluator: CompiledEvaluator
    num_lanes: int
    calibration_seconds: float
    ready_seconds: float

    @property
    def tick(self) -> Tick:
        """The tick of that bucket."""
        return self.evaluator.tick_of(self.num_lanes)


@dataclass(frozen=True)
class Timing:
    """One run of something.

    Attributes:
        device_seconds: time between the device's events before and after it; by the host's clock on a CPU.
        wall_seconds: time by the host's clock until the device is done.
    """

    device_seconds: float
    wall_seconds: float
