"""``auto`` goes over to another engine beside requests and jobs, each of which ends with the engine it began with.

The compiler takes most of a minute. So the engine that is gone over to is ``captured``, which needs none; one slow test
compiles.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from prometheus_client import generate_latest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import engine_choice
from proofrank.core.evaluator.engine_choice import AT_ONCE, COMPILED, EngineChoice, EngineQuestion
from proofrank.core.evaluator.engine_choice_process import DatasetSource, EngineChoiceProcess, NoAnswer
from proofrank.core.evaluator.modes import Mode
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Outcome
from proofrank.service.engine import engine_switch, shape_evaluator
from proofrank.service.engine.by_shape import EvaluatorsByShape
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import ASLEEP, READY
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.settings.settings import Settings
from tests.helpers.family import write_untrained_policy
from tests.helpers.hosting import hosting, queries_of, run
from tests.helpers.job_client import ended, many_queries, results, submit, with_progress
from tests.helpers.serving import RunningServer

BUCKETS = (4,)

OTHER = "captured"


@dataclass(frozen=True)
class Switched:
    """What a server that has gone over leaves behind.

    Attributes:
        folder: artifacts, and the answer which engine is faster.
        batches: answers to the same request, in order, from before it went over until after.
        kept_by_users: answer of an evaluation that began before, and went on after it had gone over.
        metrics: its metrics at the end.
    """

    folder: Path
    batches: list[RankedBatch]
    kept_by_users: RankedBatch
    metrics: str


def automatic(
    dataset: Path, policy: Path, cache_folder: Path, **options: Any
) -> AbstractAsyncContextManager[EvaluatorHost]:
    """A host that chooses its engine on a CPU."""
    fixed = {"engine": "auto", "device": "cpu", "buckets": BUCKETS}
    return hosting(dataset, policy, cache_folder=cache_folder, **fixed, **options)


def process_as_important_as_others(
    question: EngineQuestion, source: DatasetSource, num_threads: int
) -> EngineChoiceProcess:
    """On a busy machine the usual one would take longer than a test may."""
    return EngineChoiceProcess(question, source, num_threads, niceness=0)


@pytest.fixture(scope="module", autouse=True)
def _goes_over_at_once() -> Iterator[None]:
    """The other engine is looked at from the start, and pays however small the graph is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_switch, "OTHER", OTHER)
        patch.setattr(engine_switch, "COMPILE_AFTER_SECONDS", 0.0)
        patch.setattr(engine_switch, "SECONDS_BETWEEN_LOOKS", 0.05)
        patch.setattr(engine_choice, "_MOST_RATIO", 1000.0)
        patch.setattr(engine_switch, "EngineChoiceProcess", process_as_important_as_others)
        yield


@pytest.fixture(scope="module")
def switched(family_folder: Path, policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Switched:
    return serve_until_switched(family_folder, policy_folder, tmp_path_factory.mktemp("switched"), OTHER)


def serve_until_switched(dataset: Path, policy: Path, folder: Path, other: str) -> Switched:
    """Ranks while another process measures, until the server has gone over."""
    batches: list[RankedBatch] = []
    after: list[RankedBatch] = []
    metrics: list[str] = []

    async def serve() -> None:
        async with automatic(dataset, policy, folder) as host:
            queries = queries_of(host.loaded.dataset)
            batches.append(await host.rank(queries, 0))
            while batches[-1].engine == AT_ONCE:
                batches.append(await host.rank(queries, 0))
                await asyncio.sleep(0.5)
            after.append(await host.rank(queries, 0, engine=AT_ONCE))
            assert host.engine == other
            metrics.append(generate_latest(host._metrics.registry).decode())

    asyncio.run(serve())
    return Switched(folder, batches, after[0], metrics[0])


@pytest.fixture
def folder(switched: Switched, tmp_path: Path) -> Path:
    """A copy of the folder, for servers that begin with it."""
    return Path(shutil.copytree(switched.folder, tmp_path / "cache"))


def outcomes_of(batch: RankedBatch) -> list[list[Outcome]]:
    return [list(ranked.outcomes) for ranked in batch.ranked]


async def engine_becomes(host: EvaluatorHost, engine: str) -> None:
    while host.engine != engine:
        await asyncio.sleep(0.01)


def test_a_server_ranks_while_it_compiles_and_then_goes_over(switched: Switched) -> None:
    engines = [batch.engine for batch in switched.batches]
    assert engines[0] == AT_ONCE
    assert engines[-1] == OTHER
    assert len(engines) > 3, "it ranks meanwhile"
    first, last = switched.batches[0], switched.batches[-1]
    assert [ranked.ranks for ranked in first.ranked] == [ranked.ranks for ranked in last.ranked]
    for batch in switched.batches[:-1]:
        assert outcomes_of(batch) == outcomes_of(first)
    assert 'proofrank_engine_switches_total{result="switched"} 1.0' in switched.metrics
    (info,) = [line for line in switched.metrics.splitlines() if line.startswith("proofrank_evaluator_info{")]
    assert f'engine="{OTHER}"' in info


def test_what_began_with_an_engine_can_go_on_with_it_and_gets_its_bits(switched: Switched) -> None:
    assert switched.kept_by_users.engine == AT_ONCE
    assert outcomes_of(switched.kept_by_users) == outcomes_of(switched.batches[0])


def test_the_next_server_goes_over_without_compiling(
    family_folder: Path, policy_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object) -> None:
        raise AssertionError("it compiles again")

    monkeypatch.setattr(engine_switch, "EngineChoiceProcess", no_process)

    async def test() -> None:
        async with automatic(family_folder, policy_folder, folder) as host:
            await engine_becomes(host, OTHER)
            queries = queries_of(host.loaded.dataset)
            before = await host.rank(queries, 0)
            assert before.engine == OTHER
            await host.sleep()
            await host.wake()
            after = await host.rank(queries, 0)
            assert after.engine == OTHER, "woken with the engine that it had"
            assert outcomes_of(after) == outcomes_of(before)

    run(test)


def test_a_server_on_which_it_does_not_pay_stays(
    family_folder: Path, policy_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_choice, "_MOST_RATIO", 0.0)

    async def test() -> None:
        async with automatic(family_folder, policy_folder, folder) as host:
            stayed = host._metrics.engine_switches.labels("stayed")
            while not stayed._value.get():
                await asyncio.sleep(0.01)
            assert host.engine == AT_ONCE

    run(test)


def test_an_engine_that_was_asked_for_by_name_is_kept(
    family_folder: Path, policy_folder: Path, folder: Path
) -> None:
    async def test() -> None:
        options = {"engine": AT_ONCE, "buckets": BUCKETS, "cache_folder": folder}
        async with hosting(family_folder, policy_folder, **options) as host:
            assert host._switch is None

    run(test)


def test_a_server_that_sleeps_or_stops_ends_the_process_that_compiles(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[EngineChoiceProcess] = []

    def noted(*arguments: object) -> EngineChoiceProcess:
        processes.append(EngineChoiceProcess(*arguments))  # pyright: ignore[reportArgumentType]
        return processes[-1]

    monkeypatch.setattr(engine_switch, "EngineChoiceProcess", noted)

    async def test() -> None:
        async with automatic(family_folder, policy_folder, tmp_path) as host:

            async def number_of_processes_becomes(number: int) -> None:
                while len(processes) < number:
                    await asyncio.sleep(0.01)

            await number_of_processes_becomes(1)
            assert is_running(processes[0])
            await host.sleep()
            while is_running(processes[0]):
                await asyncio.sleep(0.01)
            await host.wake()
            await number_of_processes_becomes(2)
        assert not is_running(processes[1])
        assert len(processes) == 2

    run(test)


def is_running(process: EngineChoiceProcess) -> bool:
    try:
        os.kill(process.process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_without_an_answer_the_server_ranks_on(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineChoiceProcess, "answer", lambda _: NoAnswer("there is no compiler"))

    async def test() -> None:
        async with automatic(family_folder, policy_folder, tmp_path) as host:
            failed = host._metrics.engine_switches.labels("failed")
            while not failed._value.get():
                await asyncio.sleep(0.01)
            batch = await host.rank(queries_of(host.loaded.dataset), 0)
            assert batch.engine == AT_ONCE
            assert failed._value.get() == 1, "it does not try again"

    run(test)


def fall_back(monkeypatch: pytest.MonkeyPatch, asked: str, actual: str) -> None:
    """Has evaluators of engine ``asked`` come to ``actual``, as where there is no compiler."""
    make = shape_evaluator.make_evaluator

    def made(settings: Settings, *arguments: Any) -> Any:
        engine = actual if settings.engine == asked else settings.engine
        return make(settings.model_copy(update={"engine": engine}), *arguments)

    monkeypatch.setattr(shape_evaluator, "make_evaluator", made)


def test_a_server_whose_engine_fell_back_stays_ready_if_a_job_needs_the_one_asked_for(
    family_folder: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall_back(monkeypatch, OTHER, AT_ONCE)

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine=OTHER, buckets=BUCKETS) as host:
            assert host.engine == AT_ONCE
            with pytest.raises(EvaluationError, match=f"engine '{OTHER}' is needed"):
                await host.engine_for(host.active_policy, None, OTHER)
            assert host.stage == READY
            batch = await host.rank(queries_of(host.loaded.dataset), 0)
            assert batch.engine == AT_ONCE

    run(test)


def test_an_evaluator_in_use_stays_when_another_engine_comes_to_the_same(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall_back(monkeypatch, OTHER, AT_ONCE)
    other = load_policy(write_untrained_policy(tmp_path / "other", family_folder, num_layers=1))

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine=OTHER, buckets=BUCKETS) as host:
            evaluators = host.loaded.evaluators
            async with (
                evaluators.using(other, engine=AT_ONCE) as of_job,
                evaluators.using(other) as of_request,
            ):
                assert of_request is of_job
            await host.sleep()
            assert not evaluators._evaluators

    run(test)


def test_an_activation_that_ends_while_the_server_falls_asleep_does_not_wake_it(
    family_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    other = load_policy(write_untrained_policy(tmp_path / "other", family_folder, num_layers=1))

    async def test() -> None:
        async with hosting(family_folder, policy_folder, engine=AT_ONCE, buckets=BUCKETS) as host:
            async with host.prepared(other):
                sleeping = asyncio.create_task(host.sleep())
                while host.stage != ASLEEP:
                    await asyncio.sleep(0.01)
                await host.activate(other)
                assert host.stage == ASLEEP
            await sleeping
            await host.wake()
            batch = await host.rank(queries_of(host.loaded.dataset), 0)
            assert batch.policy is other

    run(test)


def test_partial_graphs_are_an_engine_of_their_own(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []

    async def switch(_: EvaluatorsByShape, policy: Policy, engine: str) -> None:
        wanted.append(engine)

    monkeypatch.setattr(engine_switch, "OTHER", COMPILED)
    monkeypatch.setattr(EngineChoiceProcess, "answer", lambda _: EngineChoice(0.5))
    monkeypatch.setattr(EvaluatorsByShape, "switch", switch)

    async def test() -> None:
        async with automatic(family_folder, policy_folder, tmp_path, fullgraph=False) as host:
            while not wanted:
                await asyncio.sleep(0.01)
            mode = Mode.of(COMPILED, fullgraph=False, device=torch.device("cpu"))
            assert wanted == [mode.engine]
            assert host.stage == READY

    run(test)


@pytest.mark.parametrize("options", [{}, {"mrr_tolerance": 0.0}])
@pytest.mark.parametrize(("first", "second"), [(OTHER, AT_ONCE), (AT_ONCE, OTHER)])
def test_a_job_ends_with_the_engine_it_began_with_also_after_a_restart(
    family_folder: Path,
    policy_folder: Path,
    tmp_path: Path,
    first: str,
    second: str,
    options: dict[str, float],
) -> None:
    def serve(engine: str) -> RunningServer:
        return RunningServer(
            *("--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", engine),
            *("--buckets", "4", "--cache-folder", str(tmp_path / "cache")),
            *("--data-folder", str(tmp_path / "data")),
        )

    body = {"queries": many_queries(60), "corruptions": "all", "pruning": "none", "seed": 3, **options}
    if options:
        del body["pruning"]
    with serve(first) as server:
        job = submit(server.wait_until_ready().client, **body)
        assert with_progress(server.client, job["id"])["state"] == "running"
    with serve(second) as server:
        client = server.wait_until_ready().client
        done = ended(client, job["id"])
        assert done["state"] == "done", done["error"]
        assert done["engine"] == first
        interrupted = ranks_of(results(client, job["id"]))
        again = ended(client, submit(client, **body)["id"])
        assert again["engine"] == second
        assert interrupted == ranks_of(results(client, again["id"]))


def ranks_of(answer: dict[str, list[dict[str, float]]]) -> list[float]:
    """The ranks of a job's results, or the ends of their intervals."""
    if answer["rank_intervals"]:
        return [row["rank_high"] for row in answer["rank_intervals"]]
    return [row["rank"] for row in answer["rankings"]]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_server_goes_over_to_what_the_compiler_makes(
    family_folder: Path, policy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_switch, "OTHER", COMPILED)
    first, *_, last = serve_until_switched(family_folder, policy_folder, tmp_path, COMPILED).batches
    assert (first.engine, last.engine) == (AT_ONCE, COMPILED)
    assert [ranked.ranks for ranked in first.ranked] == [ranked.ranks for ranked in last.ranked]
    # The next one compiles nothing.
    monkeypatch.setattr(EngineChoiceProcess, "answer", lambda _: NoAnswer("it was asked again"))
    assert serve_until_switched(family_folder, policy_folder, tmp_path, COMPILED).batches
