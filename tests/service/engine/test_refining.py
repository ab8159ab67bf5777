"""A ranking to a tolerance stays exact when its evaluator fails, and frees its lanes when it is cancelled."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from proofrank.core.ranking import SIDES, Corruptor, LazyQueries, Refinement, aggregate
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.refining import refine
from proofrank.service.errors import EvaluationFailed
from proofrank.service.settings.settings import Settings, load_settings
from proofrank.service.telemetry.metrics import Kind, ServiceMetrics
from tests.helpers.rebuilding import HeldRebuild
from tests.helpers.waiting import PATIENCE


@pytest.fixture
def rebuild(monkeypatch: pytest.MonkeyPatch) -> HeldRebuild:
    held = HeldRebuild()
    held.may_rebuild.set()
    monkeypatch.setattr("proofrank.service.engine.shape_evaluator.make_evaluator", held.make)
    return held


@pytest.fixture
def settings(family_folder: Path, policy_folder: Path, tmp_path: Path) -> Settings:
    values = {"dataset": family_folder, "policy": policy_folder, "data_folder": tmp_path}
    return load_settings(values, environment={})


def work_of(host: EvaluatorHost) -> LazyQueries:
    dataset = host.loaded.dataset
    triples = [*dataset.splits["train"], *dataset.splits["test"]]
    return LazyQueries(triples, [SIDES] * len(triples), Corruptor(dataset))


@pytest.mark.parametrize("num_parts", [1, 3])
def test_after_a_fault_it_goes_on_and_every_rank_is_exact(
    rebuild: HeldRebuild, settings: Settings, num_parts: int
) -> None:
    async def run() -> tuple[Refinement, float, int]:
        host = EvaluatorHost(settings, ServiceMetrics())
        await host.start()
        work = work_of(host)
        exact = aggregate((await host.rank(work.all_queries(), 0)).ranked).mrr
        refinement = Refinement(None, work, host.completions, most_at_once=16)
        num_done = 0

        async def fail_in_the_next() -> None:
            nonlocal num_done
            num_done += 1
            rebuild.streams[0].fails_to_move = num_done == num_parts

        prove = partial(host.prove, policy=host.active_policy)
        num_failures = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await refine(refinement, 0, prove, ServiceMetrics(), Kind.JOB, fail_in_the_next)
                    break
                except EvaluationFailed:
                    num_failures += 1
        await host.stop()
        return refinement, exact, num_failures

    refinement, exact, num_failures = asyncio.run(run())

    assert num_failures == 1
    assert len(rebuild.streams) == 2
    assert refinement.mrr.value == exact
    assert refinement.num_decided == refinement.num_candidates


def test_one_that_is_cancelled_in_a_part_frees_its_lanes(rebuild: HeldRebuild, settings: Settings) -> None:
    async def run() -> int:
        host = EvaluatorHost(settings, ServiceMetrics())
        await host.start()
        refinement = Refinement(None, work_of(host), host.completions)
        stream, loop, has_begun = rebuild.streams[0], asyncio.get_running_loop(), asyncio.Event()
        num_free = stream.num_free_slots
        stream.on_advance = lambda: loop.call_soon_threadsafe(has_begun.set)
        prove = partial(host.prove, policy=host.active_policy)
        working = asyncio.create_task(refine(refinement, 0, prove, ServiceMetrics(), Kind.INTERACTIVE))
        async with asyncio.timeout(PATIENCE):
            await has_begun.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            while stream.num_free_slots < num_free:
                await asyncio.sleep(0.01)
        assert working.cancelled()
        await host.stop()
        return num_free

    assert asyncio.run(run()) > 0
