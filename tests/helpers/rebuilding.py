"""A server in this process whose evaluator fails on demand, and is made again only when the test allows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from proofrank.core.evaluator import OriginalStream
from proofrank.core.evaluator.stream import Collected
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.service.scheduler import Lanes
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.waiting import PATIENCE


class FailingStream(OriginalStream):
    """The reference, which fails like a device.

    Attributes:
        fails_to_move: whether its next call to move candidates raises.
        num_until_fault: number of outcomes after which reading its counters raises; None for never.
        on_advance: called before candidates are moved.
    """

    fails_to_move = False
    num_until_fault: int | None = None
    on_advance: Callable[[], object] | None = None

    def advance(
        self, num_ticks: int, num_lanes: int | None = None, *, only: Collection[int] | None = None
    ) -> None:
        if self.on_advance is not None:
            self.on_advance()
        if self.fails_to_move:
            raise RuntimeError("device-side assert")
        super().advance(num_ticks, num_lanes, only=only)

    def collect(self) -> Collected:
        collected = super().collect()
        if self.num_until_fault is not None:
            self.num_until_fault -= len(collected)
        return collected

    @property
    def work(self) -> None:
        if self.num_until_fault is not None and self.num_until_fault <= 0:
            raise RuntimeError("an illegal memory access")


@dataclass
class HeldRebuild:
    """Replaces :func:`make_evaluator`; all evaluators but the first must wait.

    Attributes:
        gather_seconds: time that an idle scheduler waits for more tasks after the first.
        is_rebuilding: set while an evaluator waits.
        may_rebuild: set by the test to let it be made.
        streams: evaluators made so far.
    """

    gather_seconds: float = 0.0
    is_rebuilding: threading.Event = field(default_factory=threading.Event)
    may_rebuild: threading.Event = field(default_factory=threading.Event)
    streams: list[FailingStream] = field(default_factory=list)

    def make(
        self,
        settings: Settings,
        dataset: Dataset,
        policy: Policy,
        prover_settings: ProverSettings,
        metrics: ServiceMetrics,
        on_stage: Callable[[str], None],
    ) -> tuple[FailingStream, Lanes]:
        """Makes an evaluator."""
        on_stage("build evaluator")
        if self.streams:
            self.is_rebuilding.set()
            assert self.may_rebuild.wait(PATIENCE)
        self.streams.append(FailingStream(dataset, policy, prover_settings))
        on_stage("warm up")
        lanes = Lanes(
            (self.streams[-1].num_free_slots,), is_cost_by_lane=True, gather_seconds=self.gather_seconds
        )
        return self.streams[-1], lanes
