"""The least model of a server: built beside the start, kept, bounded, and never needed for a rank."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.provability import LeastModel, stored_least_model
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Corruptor, corrupted_queries
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.engine.provability import Provability
from proofrank.service.engine.ranker import RankedBatch
from proofrank.service.settings.settings import load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics

PATIENCE = 300
BUILD = "proofrank.core.provability.stored_least_model"


def read(metrics: ServiceMetrics, name: str) -> float:
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


@pytest.fixture
def make_host(family_folder: Path, policy_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    def make(**more: Any) -> tuple[EvaluatorHost, ServiceMetrics]:
        values = {
            "dataset": family_folder,
            "policy": policy_folder,
            "engine": "original",
            "cache_folder": tmp_path / "cache",
            "grace_seconds": 0.5,
            **more,
        }
        metrics = ServiceMetrics()
        return EvaluatorHost(load_settings(values, environment={}), metrics), metrics

    return make


async def ranked_by(host: EvaluatorHost, *levels: str) -> list[RankedBatch]:
    """The test triples of the family, ranked at each level in turn."""
    dataset = host.loaded.dataset
    queries = corrupted_queries(dataset.splits["test"], ("head", "tail"), Corruptor(dataset))
    return [await host.rank(queries, 0, pruning=level) for level in levels]  # pyright: ignore[reportArgumentType]


def run(host: EvaluatorHost, *levels: str) -> list[RankedBatch]:
    async def act() -> list[RankedBatch]:
        async with asyncio.timeout(PATIENCE):
            await host.start()
            try:
                return await ranked_by(host, *levels)
            finally:
                await host.stop()

    return asyncio.run(act())


def test_a_server_is_ready_without_its_least_model_and_uses_it_once_it_is_there(
    make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_build = threading.Event()

    def held(*arguments: Any, **options: Any) -> LeastModel:
        assert may_build.wait(PATIENCE)
        return stored_least_model(*arguments, **options)

    monkeypatch.setattr(BUILD, held)
    monkeypatch.setattr("proofrank.service.engine.host._MOST_SECONDS_FOR_MODEL", 0.01)
    host, metrics = make_host()

    async def act() -> tuple[list[RankedBatch], list[RankedBatch]]:
        async with asyncio.timeout(PATIENCE):
            await host.start()
            assert host.stage == READY
            before = await ranked_by(host, "none", "exact", "ranks")
            assert math.isnan(read(metrics, "proofrank_least_model_atoms"))
            may_build.set()
            while math.isnan(read(metrics, "proofrank_least_model_is_superset")):
                await asyncio.sleep(0.01)
            after = await ranked_by(host, "exact")
            await host.stop()
        return before, after

    (whole, exact, by_ranks), (pruned,) = asyncio.run(act())

    # Nothing is known of proofs, so only what falls behind is left out, and that by `ranks` alone.
    assert (exact.counts.unprovable, exact.counts.fallen_behind) == (0, 0)
    assert by_ranks.counts.unprovable == 0
    assert pruned.counts.unprovable > 0
    for batch in (exact, by_ranks, pruned):
        assert [ranking.ranks for ranking in batch.ranked] == [ranking.ranks for ranking in whole.ranked]


def test_a_model_is_computed_once_and_then_read(
    make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host, metrics = make_host()
    (first,) = run(host, "exact")
    (file,) = (tmp_path / "cache").glob("least-model-*.safetensors")

    def computed(*_: Any, **__: Any) -> LeastModel:
        raise AssertionError("computed again")

    monkeypatch.setattr("proofrank.core.provability.store.compute_least_model", computed)
    host, again = make_host()
    (second,) = run(host, "exact")

    assert file.stat().st_size > 0
    assert first.counts == second.counts
    for name in ("atoms", "seconds", "is_superset"):
        assert read(metrics, f"proofrank_least_model_{name}") == read(again, f"proofrank_least_model_{name}")
    assert read(metrics, "proofrank_least_model_is_superset") == 0


def test_without_time_for_it_there_is_no_model_and_every_rank_is_the_same(
    make_host: Callable[..., Any],
) -> None:
    host, metrics = make_host(least_model_seconds=0)

    whole, exact = run(host, "none", "exact")

    assert exact.counts == whole.counts
    assert [ranking.ranks for ranking in exact.ranked] == [ranking.ranks for ranking in whole.ranked]
    assert math.isnan(read(metrics, "proofrank_least_model_atoms"))


def test_little_time_gives_a_superset_that_says_so(
    make_host: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "proofrank")
    host, metrics = make_host(least_model_seconds=1e-9)

    whole, exact = run(host, "none", "exact")

    assert read(metrics, "proofrank_least_model_is_superset") == 1
    assert "a superset for some relations" in caplog.text
    assert [ranking.ranks for ranking in exact.ranked] == [ranking.ranks for ranking in whole.ranked]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(dataset: Dataset, *_: Any, **__: Any) -> LeastModel:
        raise MemoryError(f"too much for {dataset.name}")

    monkeypatch.setattr(BUILD, fail)
    yield


def test_a_server_whose_model_cannot_be_built_ranks_without_it(
    make_host: Callable[..., Any], refusing: None, caplog: pytest.LogCaptureFixture
) -> None:
    host, _ = make_host()

    whole, exact = run(host, "none", "exact")

    assert "there is no least model" in caplog.text
    assert "too much for family" in caplog.text
    assert exact.counts == whole.counts


@pytest.fixture
def threads_of_bits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that have computed bits of a model."""
    names: list[str] = []
    compute = LeastModel._new_bits

    def noting(model: LeastModel, num_predicates: int, num_constants: int) -> Any:
        names.append(threading.current_thread().name)
        return compute(model, num_predicates, num_constants)

    monkeypatch.setattr(LeastModel, "_new_bits", noting)
    return names


@pytest.fixture
def make_provability(tmp_path: Path) -> Callable[..., Provability]:
    def make(dataset: Dataset, **values: Any) -> Provability:
        settings = load_settings({"cache_folder": tmp_path / "cache", **values}, environment={})
        provability = Provability(settings, ServiceMetrics())
        provability.begin(dataset)
        provability.wait(PATIENCE)
        return provability

    return make


def test_bits_for_a_gpu_are_made_once_beside_the_start_and_every_evaluator_copies_them(
    make_provability: Callable[..., Provability],
    threads_of_bits: list[str],
    family_folder: Path,
    policy_folder: Path,
) -> None:
    dataset = load_dataset(family_folder)
    policy = load_policy(policy_folder, dataset)

    # The thread needs no GPU to make them.
    pruning = make_provability(dataset, device="cuda", engine="auto").pruning("exact")

    assert pruning is not None
    assert threads_of_bits == ["least model"]
    options = EvaluatorOptions(buckets=(8,), pool_size=16, has_model_bits=True)
    evaluators = [CompiledEvaluator(dataset, policy, ProverSettings(), options) for _ in range(2)]
    for evaluator in evaluators:
        evaluator.load_model(pruning.model)
    assert threads_of_bits == ["least model"]
    tables = [evaluator.make_tick(8).environment.engine.tables.provable for evaluator in evaluators]
    assert tables[0] is not None and tables[1] is not None
    assert tables[0].table.equal(tables[1].table)
    assert 0 < int((tables[0].table != 0).sum()) < tables[0].table.numel()


@pytest.mark.parametrize("values", [{"device": "cpu"}, {"device": "cuda", "engine": "original"}], ids=str)
def test_no_bits_are_made_where_no_evaluator_has_any(
    make_provability: Callable[..., Provability],
    threads_of_bits: list[str],
    family_folder: Path,
    values: dict[str, str],
) -> None:
    provability = make_provability(load_dataset(family_folder), **values)

    assert isinstance(provability.model, LeastModel)
    assert not threads_of_bits
