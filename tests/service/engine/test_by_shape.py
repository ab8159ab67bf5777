"""Evaluators of several shapes in one process: unused ones are ended, and a fault of one leaves the others alone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator import available_memory
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Scoring
from proofrank.service.engine import by_shape, evaluators, shape_evaluator
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.engine.ranker import NO_ENGINE
from proofrank.service.errors import Draining, EvaluationFailed
from proofrank.service.settings.settings import load_settings
from tests.helpers.embeddings import write_distmult
from tests.helpers.family import write_untrained_policy
from tests.helpers.hosting import hosting, queries_of, run
from tests.helpers.rebuilding import FailingStream, HeldRebuild
from tests.helpers.waiting import PATIENCE
from tests.helpers.workshop import ready_app

MOST_SECONDS = 20.0
"""Time in which what must not wait is over, in seconds, also on a busy machine."""


@pytest.fixture
def others(family_folder: Path, tmp_path: Path) -> list[Policy]:
    """Policies of five other shapes."""
    return [
        load_policy(
            write_untrained_policy(tmp_path / f"layers-{number}", family_folder, num_layers=number + 3)
        )
        for number in range(5)
    ]


def num_evaluators(host: EvaluatorHost) -> int:
    """Number of evaluators that there are."""
    return len(host.loaded.evaluators._evaluators)


def test_an_unused_evaluator_is_ended_after_a_while_and_its_work_stays_counted(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_shape, "IDLE_SECONDS", 0.05)

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine="eager") as host:
            queries = queries_of(host.loaded.dataset)
            before = await host.rank(queries, 0)
            await host.activate(others[0])
            await host.rank(queries, 0)
            works: list[int] = []
            while num_evaluators(host) > 1:
                work = host.loaded.evaluators.snapshot().work
                works.append(0 if work is None else work.ticks)
                await asyncio.sleep(0.01)
            work = host.loaded.evaluators.snapshot().work
            assert work is not None
            assert sorted([*works, work.ticks]) == [*works, work.ticks]
            assert host.loaded.evaluators.live.shape.network == others[0].network.config
            # It can be had again, and gives the same.
            again = await host.rank(queries, 0, policy=before.policy)
            assert [ranked.ranks for ranked in again.ranked] == [ranked.ranks for ranked in before.ranked]

    run(test)


def test_however_often_an_evaluator_is_used_one_look_at_it_is_to_come(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            loop, timers = asyncio.get_running_loop(), set[asyncio.TimerHandle]()
            call_later = loop.call_later

            def noted(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
                timers.add(timer := call_later(*arguments, **options))
                return timer

            monkeypatch.setattr(loop, "call_later", noted)
            for _ in range(5):
                async with host.prepared(others[0]):
                    pass
            late = [timer for timer in timers if timer.when() > loop.time() + by_shape.IDLE_SECONDS / 2]
            assert len(late) >= 5
            assert len([timer for timer in late if not timer.cancelled()]) == 1

    run(test)


def test_of_many_shapes_in_turn_only_a_few_evaluators_stay(
    family_folder: Path, policy_folder: Path, others: list[Policy]
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            for policy in others:
                await host.activate(policy)
                assert num_evaluators(host) <= by_shape.MAX_EVALUATORS
            await host.rank(queries_of(host.loaded.dataset), 0)

    run(test)


def test_unused_evaluators_give_their_memory_to_a_new_one_and_those_in_use_do_not(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = evaluators.make_evaluator

    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:

            def with_memory_for_two(*arguments: Any) -> Any:
                if num_evaluators(host) >= 2:
                    raise MemoryShortError("buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free")
                return make(*arguments)

            monkeypatch.setattr(shape_evaluator, "make_evaluator", with_memory_for_two)
            async with host.prepared(others[0]):
                with pytest.raises(MemoryShortError, match=r"2\.0 GiB on cpu, of which 1\.0 GiB"):
                    await host.activate(others[1])
                assert num_evaluators(host) == 2
            await host.activate(others[1])
            assert host.active_policy is others[1]
            assert num_evaluators(host) == 2

    run(test)


def test_two_that_need_a_shape_at_once_share_its_evaluator_though_one_of_them_gives_up(
    family_folder: Path, policy_folder: Path, others: list[Policy]
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            queries = queries_of(host.loaded.dataset)
            ranking = [asyncio.create_task(host.rank(queries, 0, policy=others[0])) for _ in range(3)]
            await asyncio.sleep(0)
            ranking[0].cancel()
            ended = await asyncio.gather(*ranking, return_exceptions=True)
            assert isinstance(ended[0], asyncio.CancelledError)
            assert not any(isinstance(end, BaseException) for end in ended[1:])
            assert num_evaluators(host) == 2

    run(test)


def test_a_fault_of_an_evaluator_that_is_not_live_leaves_the_server_ready(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldRebuild()
    held.may_rebuild.set()
    monkeypatch.setattr(shape_evaluator, "make_evaluator", held.make)

    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            queries = queries_of(host.loaded.dataset)
            await host.rank(queries, 0, policy=others[0])
            stream: FailingStream = held.streams[1]
            held.may_rebuild.clear()
            held.is_rebuilding.clear()
            stream.fails_to_move = True
            failing = asyncio.create_task(host.rank(queries, 0, policy=others[0]))
            assert await asyncio.to_thread(held.is_rebuilding.wait, PATIENCE)
            assert host.stage == READY
            await host.rank(queries, 0)  # the live one ranks on meanwhile
            held.may_rebuild.set()
            await asyncio.gather(failing, return_exceptions=True)

    run(test)


def test_an_evaluator_that_cannot_be_made_again_keeps_nothing_from_its_end(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, is_memory_short, was_refused = HeldRebuild(), threading.Event(), threading.Event()
    held.may_rebuild.set()

    def make(*arguments: Any) -> Any:
        if is_memory_short.is_set():
            was_refused.set()
            raise MemoryShortError("buckets need about 2.0 GiB on cpu, of which 1.0 GiB are free")
        return held.make(*arguments)

    monkeypatch.setattr(shape_evaluator, "make_evaluator", make)

    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            queries = queries_of(host.loaded.dataset)
            await host.rank(queries, 0, policy=others[0])
            is_memory_short.set()
            held.streams[1].fails_to_move = True
            with pytest.raises(EvaluationFailed):
                await host.rank(queries, 0, policy=others[0])
            waiting = asyncio.create_task(host.rank(queries, 0, policy=others[0]))
            assert await asyncio.to_thread(was_refused.wait, PATIENCE)
            assert host.stage == READY
            async with asyncio.timeout(MOST_SECONDS):
                await host.sleep()
            with pytest.raises(Draining):
                await waiting
            is_memory_short.clear()
            await host.wake()
            assert len((await host.rank(queries, 0)).ranked) == len(queries)

    run(test)


def test_a_server_that_stops_while_an_evaluator_is_made_ends_and_says_so_to_those_that_wait(
    family_folder: Path, policy_folder: Path, others: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldRebuild()
    monkeypatch.setattr(shape_evaluator, "make_evaluator", held.make)

    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            waiting = asyncio.create_task(host.activate(others[0]))
            assert await asyncio.to_thread(held.is_rebuilding.wait, PATIENCE)
            host.drain()
            held.may_rebuild.set()
            with pytest.raises(Draining):
                await waiting

    run(test)


def test_prover_settings_that_the_service_overrides_hold_for_each_policy(
    family_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder, max_depth=5) as host:
            assert host.describe_prover()["max_depth"] == 5
            folder = write_untrained_policy(
                tmp_path / "deep", family_folder, settings=ProverSettings(max_depth=9, padding_states=30)
            )
            await host.activate(load_policy(folder))
            assert (host.describe_prover()["max_depth"], host.describe_prover()["padding_states"]) == (5, 30)

    run(test)


def test_without_memory_for_its_evaluator_a_request_is_told_to_come_later_and_what_is_lacking(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "dataset": family_folder,
        "policy": policy_folder,
        "data_folder": tmp_path,
        "engine": "eager",
        "device_memory": 0.5,
        "least_model_seconds": 0,
    }
    triple = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}

    async def test() -> None:
        async with ready_app(load_settings(values, environment={})) as (client, _):
            # As where other processes have taken the rest, or this one its share.
            monkeypatch.setattr(available_memory, "host_bytes", lambda: 2**20)
            for path, body in (
                ("/sample", {"triples": [triple]}),
                ("/rank", {"queries": [triple], "beam": 2}),
            ):
                answer = await client.post(path, json=body)
                assert answer.status_code == 503, answer.text
                assert "within a budget of 0.0 GiB (0.5 of the device)" in answer.json()["detail"]
                assert int(answer.headers["retry-after"]) > 0

    run(test)


def test_what_an_embedding_alone_ranks_needs_no_evaluator(
    family: Dataset, family_folder: Path, policy_folder: Path, others: list[Policy], tmp_path: Path
) -> None:
    embedding = write_distmult(tmp_path / "distmult", family)

    async def test() -> None:
        async with hosting(family_folder, policy_folder, embedding=embedding) as host:
            dataset, scores = host.loaded.dataset, host.loaded.scores
            assert scores is not None
            scoring = Scoring("embedding", scores.source, scores.scorer, dataset)
            queries = queries_of(dataset)
            batch = await host.rank(queries, 0, policy=others[0], scoring=scoring)
            assert len(batch.ranked) == len(queries)
            assert batch.engine == NO_ENGINE
            assert num_evaluators(host) == 1

    run(test)
