"""A draining server is never shown as ready again, whichever thread sets the stage, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from proofrank.service.engine.lifecycle import DRAINING, FAILED, READY, Stages
from proofrank.service.telemetry.metrics import ServiceMetrics

PATIENCE = 30


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics()


def ready_of(metrics: ServiceMetrics) -> float | None:
    return metrics.registry.get_sample_value("proofrank_ready")


class HeldStages(Stages):
    """Stages whose loader is held between its check whether the end has begun and its change of the stage."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        super().__init__(metrics)
        self.loader: threading.Thread | None = None
        self.has_looked = threading.Event()
        self.may_enter = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Returns the value from before the loader was held."""
        is_stopping = super().is_stopping
        if threading.current_thread() is self.loader:
            self.has_looked.set()
            assert self.may_enter.wait(PATIENCE)
        return is_stopping


def test_draining_that_begins_between_the_loaders_look_and_its_entry_is_not_overwritten(
    metrics: ServiceMetrics,
) -> None:
    stages = HeldStages(metrics)
    stages.loader = threading.Thread(target=stages.enter, args=(READY,))
    drainer = threading.Thread(target=stages.drain)
    stages.loader.start()
    assert stages.has_looked.wait(PATIENCE)
    drainer.start()
    # Enough time to drain if nothing prevents it.
    drainer.join(0.3)
    stages.may_enter.set()
    for thread in (stages.loader, drainer):
        thread.join(PATIENCE)
        assert not thread.is_alive()

    assert stages.stage == DRAINING
    assert ready_of(metrics) == 0


@pytest.mark.parametrize("begin", [Stages.begin_stop, Stages.drain])
@pytest.mark.parametrize("before", ["load policy", READY])
def test_ready_becomes_draining_once_the_end_has_begun(
    metrics: ServiceMetrics, before: str, begin: Callable[[Stages], None]
) -> None:
    stages = Stages(metrics)
    stages.enter(before)
    begin(stages)
    # As when the evaluator is made again meanwhile.
    stages.enter("warm up")
    assert stages.stage == "warm up"
    stages.enter(READY)

    assert stages.stage == DRAINING
    assert ready_of(metrics) == 0


def test_nothing_follows_failed(metrics: ServiceMetrics) -> None:
    stages = Stages(metrics)
    stages.enter(FAILED)
    stages.enter(READY)
    stages.drain()

    assert stages.stage == FAILED
    assert stages.is_stopping
    assert ready_of(metrics) == 0


def test_what_fails_while_it_drains_has_failed(metrics: ServiceMetrics) -> None:
    stages = Stages(metrics)
    stages.drain()
    stages.enter(FAILED)

    assert stages.stage == FAILED


def test_each_stage_that_has_ended_is_timed(metrics: ServiceMetrics) -> None:
    stages = Stages(metrics)
    stages.enter("load dataset")
    stages.enter(READY)

    assert ready_of(metrics) == 1
    assert list(stages.stage_seconds) == ["starting", "load dataset"]
    for stage, seconds in stages.stage_seconds.items():
        labels = {"stage": stage}
        assert metrics.registry.get_sample_value("proofrank_startup_stage_seconds", labels) == seconds
