"""A server that sleeps holds no evaluator; woken, it gives the same bits as before."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from proofrank.client import Client
from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.service.engine import shape_evaluator
from proofrank.service.engine.lifecycle import ASLEEP, READY
from proofrank.service.errors import NotReady
from tests.helpers.hosting import hosting, queries_of, run
from tests.helpers.serving import REPOSITORY, RunningServer, clean_environment
from tests.helpers.waiting import PATIENCE

FRANCE = {"head": "france", "relation": "locatedInCR", "tail": "europe", "side": "tail"}


def living_evaluators() -> list[CompiledEvaluator]:
    """The vectorised evaluators of this process."""
    gc.collect()
    return [found for found in gc.get_objects() if issubclass(type(found), CompiledEvaluator)]


def test_no_evaluator_is_left_and_the_next_one_gives_the_same_bits(
    family_folder: Path, policy_folder: Path
) -> None:
    async def test() -> None:
        num_before = len(living_evaluators())
        async with hosting(family_folder, policy_folder, engine="eager") as host:
            queries = queries_of(host.loaded.dataset)
            before = await host.rank(queries, 0)
            assert len(living_evaluators()) == num_before + 1

            await host.sleep()
            assert host.stage == ASLEEP
            assert len(living_evaluators()) == num_before
            await host.sleep()  # stays as it is
            with pytest.raises(NotReady, match=ASLEEP):
                await host.rank(queries, 0)
            work = host._known.evaluators.snapshot().work
            assert work is not None
            assert work.ticks > 0

            await host.wake()
            assert host.stage == READY
            await host.wake()  # stays as it is
            after = await host.rank(queries, 0)
            assert [ranked.outcomes for ranked in after.ranked] == [
                ranked.outcomes for ranked in before.ranked
            ]
        assert host.has_ended

    run(test)


def test_what_ranks_now_is_finished_first(
    family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_move, is_moving = threading.Event(), threading.Event()
    advance = CompiledEvaluator.advance

    def held(evaluator: CompiledEvaluator, *arguments: Any, **options: Any) -> None:
        is_moving.set()
        assert may_move.wait(PATIENCE)
        advance(evaluator, *arguments, **options)

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine="eager") as host:
            queries = queries_of(host.loaded.dataset)
            monkeypatch.setattr(CompiledEvaluator, "advance", held)
            ranking = asyncio.create_task(host.rank(queries, 0))
            await asyncio.to_thread(is_moving.wait, PATIENCE)
            sleeping = asyncio.create_task(host.sleep())
            while host.stage != ASLEEP:
                await asyncio.sleep(0)
            assert not sleeping.done()
            may_move.set()
            assert len((await ranking).ranked) == len(queries)
            await sleeping
        assert host.has_ended

    run(test)


def test_a_server_that_has_no_memory_to_wake_in_sleeps_on(
    family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_evaluator = shape_evaluator.make_evaluator

    def without_memory(*arguments: Any, **options: Any) -> Any:
        raise MemoryShortError("buckets needs about 2.0 GiB on cpu, of which 1.0 GiB are free")

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine="eager") as host:
            await host.sleep()
            monkeypatch.setattr(shape_evaluator, "make_evaluator", without_memory)
            with pytest.raises(NotReady, match=r"still asleep: .*2\.0 GiB on cpu, of which 1\.0 GiB"):
                await host.wake()
            assert host.stage == ASLEEP
            monkeypatch.setattr(shape_evaluator, "make_evaluator", make_evaluator)
            await host.wake()
            await host.rank(queries_of(host.loaded.dataset), 0)
            await host.sleep()  # and is stopped in its sleep
        assert host.has_ended

    run(test)


def test_an_evaluator_that_fails_at_the_moment_of_falling_asleep_does_not_end_the_sleep(
    family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine="eager") as host:
            evaluators = host.loaded.evaluators
            enter, is_entering = host._stages.enter, threading.Event()

            def late(stage: str, **options: Any) -> None:
                if stage == "build evaluator":
                    is_entering.set()
                    while host.stage != ASLEEP:
                        time.sleep(0.001)
                enter(stage, **options)

            monkeypatch.setattr(host._stages, "enter", late)
            evaluators.live.stage = "build evaluator"
            failing = asyncio.create_task(asyncio.to_thread(evaluators._on_stage, evaluators.live))
            await asyncio.to_thread(is_entering.wait, PATIENCE)
            evaluators.live.stage = READY
            await host.sleep()
            await failing
            assert host.stage == ASLEEP
            monkeypatch.setattr(host._stages, "enter", enter)
            await host.wake()
            assert host.stage == READY

    run(test)


def test_a_budget_that_does_not_suffice_is_refused_at_the_start_with_figures(
    family_folder: Path, policy_folder: Path
) -> None:
    program = [sys.executable, "-m", "proofrank", "serve", "--port", "0", "--device-memory", "0.0001"]
    told = subprocess.run(
        [*program, "--dataset", str(family_folder), "--policy", str(policy_folder)],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert told.returncode == 2
    assert "GiB are free within a budget of 0.0 GiB (0.0001 of the device)" in told.stderr


def test_sleeping_and_waking_over_http() -> None:
    with RunningServer("--threads", "1") as server:
        server.wait_until_ready()
        ask = {"queries": [FRANCE], "corruptions": "all", "return_candidates": True}
        before = server.client.post("/rank", json=ask).json()["queries"]
        with Client(server.url) as client:
            assert client.sleep().stage == ASLEEP
            readiness = server.client.get("/readyz")
            assert (readiness.status_code, readiness.json()["stage"]) == (503, ASLEEP)
            refused = server.client.post("/rank", json=ask)
            assert refused.status_code == 503
            assert refused.json()["detail"] == "not ready: asleep"
            assert int(refused.headers["Retry-After"]) >= 1
            assert server.client.post("/jobs", json={"split": "test"}).status_code == 503
            assert client.policies()
            assert not client.jobs()
            assert client.wake().ready
            assert server.client.post("/rank", json=ask).json()["queries"] == before


def test_a_job_pauses_while_the_server_sleeps() -> None:
    with RunningServer("--threads", "1") as server:
        server.wait_until_ready()
        with Client(server.url) as client:
            job = client.submit("test", corruptions="all", side="head", limit=8, pruning="none")
            client.sleep()
            asleep = client.job(job.id)
            assert asleep.state in ("queued", "running")
            client.wake()
            ended = client.wait(job.id)
            assert ended.job.state == "done"
            again = client.evaluate("test", corruptions="all", side="head", limit=8, pruning="none")
            assert json.dumps(again.metrics.mrr) == json.dumps(ended.metrics.mrr)
