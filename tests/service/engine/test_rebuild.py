"""While the evaluator is made again after a fault, finished requests are answered, and the server can be stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from proofrank.core.policy import Policy
from proofrank.core.ranking import Corruptor, corrupted_queries
from proofrank.service.engine import shape_evaluator
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.errors import Draining, EvaluationFailed, NotReady
from proofrank.service.policies.records import PolicyRecord
from proofrank.service.settings.settings import Settings, load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.family import write_untrained_policy
from tests.helpers.rebuilding import HeldRebuild
from tests.helpers.uploads import files_of
from tests.helpers.waiting import PATIENCE
from tests.helpers.workshop import ready_app

REQUEST = {
    "queries": [
        {"head": "anna", "relation": "ancestor", "tail": "Zoë", "side": "tail", "candidates": ["ben", "eva"]}
    ]
}
NUM_CANDIDATES = 3
MOST_SECONDS = 20.0
"""Time in which what must not wait is over, in seconds, also on a busy machine."""


@pytest.fixture
def rebuild(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldRebuild]:
    held = HeldRebuild()
    monkeypatch.setattr("proofrank.service.engine.shape_evaluator.make_evaluator", held.make)
    yield held
    held.may_rebuild.set()


@pytest.fixture
def settings(family_folder: Path, policy_folder: Path, tmp_path: Path) -> Settings:
    values = {
        "dataset": family_folder,
        "policy": policy_folder,
        "data_folder": tmp_path,
        "grace_seconds": 0.5,
    }
    return load_settings(values, environment={})


@pytest.mark.parametrize("return_proof", [False, True])
def test_a_request_that_is_done_is_answered_though_the_evaluator_has_failed_meanwhile(
    rebuild: HeldRebuild, settings: Settings, return_proof: bool
) -> None:
    async def ask() -> tuple[httpx.Response, str]:
        async with asyncio.timeout(PATIENCE), ready_app(settings) as (client, services):
            host = services.host
            stream, loop = rebuild.streams[0], asyncio.get_running_loop()
            stream.num_until_fault = NUM_CANDIDATES
            # The event loop receives the outcomes only after the evaluator has failed.
            stream.on_advance = lambda: loop.call_soon_threadsafe(rebuild.is_rebuilding.wait, PATIENCE)
            answer = await client.post("/rank", json={**REQUEST, "return_proof": return_proof})
            stage = host.stage
            rebuild.may_rebuild.set()
        return answer, stage

    answer, stage = asyncio.run(ask())

    assert stage == "build evaluator"
    assert answer.status_code == 200, answer.text
    (ranking,) = answer.json()["queries"][0]["rankings"]
    assert ranking["num_candidates"] == NUM_CANDIDATES
    assert (ranking["proof"] is not None) == return_proof


def test_a_server_that_stops_while_the_evaluator_is_made_anew_ends_with_its_grace_period(
    rebuild: HeldRebuild, settings: Settings
) -> None:
    rebuild.gather_seconds = 0.2  # so that both requests run when it fails, and neither is known as the cause

    async def stop() -> tuple[list[object], float, bool]:
        host = EvaluatorHost(settings, ServiceMetrics())
        await host.start()
        dataset = host.loaded.dataset
        queries = corrupted_queries(dataset.splits["test"], ("tail",), Corruptor(dataset))
        rebuild.streams[0].fails_to_move = True
        ranking = [asyncio.create_task(host.rank(queries, 0)) for _ in range(2)]
        assert await asyncio.to_thread(rebuild.is_rebuilding.wait, PATIENCE)
        began = time.monotonic()
        host.drain()
        async with asyncio.timeout(PATIENCE):
            outcomes: list[object] = list(await asyncio.gather(*ranking, return_exceptions=True))
            await host.stop()
        return outcomes, time.monotonic() - began, host.has_ended

    outcomes, seconds, has_ended = asyncio.run(stop())

    for outcome in outcomes:
        assert isinstance(outcome, Draining)
    assert settings.grace_seconds <= seconds < settings.grace_seconds + 60
    assert not has_ended


def test_a_policy_that_goes_live_while_the_evaluator_fails_is_live_in_the_store_and_here(
    rebuild: HeldRebuild,
    settings: Settings,
    family_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_untrained_policy(tmp_path_factory.mktemp("policies") / "other", family_folder, seed=1)

    async def go() -> None:
        async with asyncio.timeout(PATIENCE), ready_app(settings) as (client, services):
            host, store = services.host, services.policies.store
            assert (await client.put("/policies/other", files=files_of(folder))).status_code == 201
            loop, make_live = asyncio.get_running_loop(), store.make_live
            queries = list(
                corrupted_queries(
                    host.loaded.dataset.splits["test"], ("tail",), Corruptor(host.loaded.dataset)
                )
            )

            def make_live_and_fail(policy: Policy) -> PolicyRecord:
                record = make_live(policy)
                rebuild.streams[0].fails_to_move = True
                asyncio.run_coroutine_threadsafe(host.rank(queries, 0), loop)
                assert rebuild.is_rebuilding.wait(PATIENCE)
                return record

            monkeypatch.setattr(store, "make_live", make_live_and_fail)
            answer = await client.post("/policies/other/activate")
            rebuild.may_rebuild.set()
            while host.stage != READY:
                await asyncio.sleep(0.01)
            listed = (await client.get("/policies")).json()
            ranked = (await client.post("/rank", json=REQUEST)).json()

        assert answer.status_code == 200, answer.text
        assert listed["active"] == "other"
        assert [policy["name"] for policy in listed["policies"] if policy["active"]] == ["other"]
        assert ranked["policy"]["name"] == "other"

    asyncio.run(go())


def test_a_server_that_cannot_use_its_device_any_more_ends(
    rebuild: HeldRebuild, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_evaluator, "_FIRST_SECONDS_BETWEEN_ATTEMPTS", 0.01)

    async def lose() -> None:
        is_told = asyncio.Event()
        loop = asyncio.get_running_loop()
        host = EvaluatorHost(
            settings, ServiceMetrics(), on_failure=lambda: loop.call_soon_threadsafe(is_told.set)
        )
        await host.start()
        dataset = host.loaded.dataset
        queries = list(corrupted_queries(dataset.splits["test"], ("tail",), Corruptor(dataset)))
        error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        monkeypatch.setattr(shape_evaluator, "make_evaluator", raising(error))
        rebuild.streams[0].fails_to_move = True
        with pytest.raises(EvaluationFailed):
            await host.rank(queries, 0)
        async with asyncio.timeout(MOST_SECONDS):
            await is_told.wait()
        assert host.has_failed
        assert host.failure is error
        with pytest.raises(NotReady, match="failed"):
            await host.rank(queries, 0)
        await host.stop()
        assert host.has_ended

    asyncio.run(lose())


def raising(error: Exception) -> Callable[..., Any]:
    """A function that raises ``error``."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail
