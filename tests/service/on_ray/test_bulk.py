"""``proofrank evaluate --on ray``: the same numbers as one process, whatever happens to the workers."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import settings_for
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import Corruptor, LazyQueries, sides_of
from proofrank.service.bulk.shards import ShardResult, cut_shards, prove_shard
from proofrank.service.cli import bulk
from proofrank.service.cli.main import main
from proofrank.service.cli.queries import drawn_work
from proofrank.service.engine.engine_options import EngineOptions
from tests.helpers.embeddings import write_distmult
from tests.helpers.gated_queries import GatedQueries
from tests.helpers.result_rows import has_rows, place, read_rows
from tests.helpers.told import without_reading

pytest.importorskip("ray", reason="ray is not installed: pip install 'proofrank[ray]'")
pytest.importorskip("ray.data", reason="ray's extra 'data' is not installed: pip install 'proofrank[ray]'")

import ray
from ray.cluster_utils import Cluster

from proofrank.service.on_ray.bulk import WorkerPool, proved_on_ray
from proofrank.service.on_ray.cluster import connected

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@pytest.fixture(scope="module")
def quiet_ray() -> Iterator[None]:
    """Turns Ray's usage statistics off, and lets its parts find each other without a token."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def address(quiet_ray: None) -> Iterator[str]:
    """The address of a cluster with room for two workers."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield str(cluster.address)
    cluster.shutdown()


def countries_work(corruptions: int) -> LazyQueries:
    """Returns the test triples of the package's countries, on both sides."""
    dataset = load_dataset(DATASET)
    triples = dataset.splits["test"]
    return LazyQueries(triples, [sides_of("both")] * len(triples), Corruptor(dataset, number=corruptions))


def prove_on_ray(
    address: str, work: LazyQueries, engine: str, queries_per_shard: int
) -> Iterator[ShardResult]:
    """Yields the results of ``work`` by two workers."""
    policy = load_policy(POLICY, work.corruptor.dataset)
    options = EngineOptions(engine, None, True, "float32", True, None, None)
    shards = cut_shards(work, 2, queries_per_shard)
    with connected(address):
        pool = WorkerPool.of(2, 1, 0)
        yield from proved_on_ray(shards, work, policy, settings_for(policy), options, pool)


def without_seconds(results: list[ShardResult]) -> list[Any]:
    """Returns the content of the results, in order, without place and time."""
    shown = []
    for result in sorted(results, key=lambda result: result.shard.number):
        for ranking in result.rankings:
            summary = ranking.summary
            of_positive = (ranking.score, ranking.log_probability, ranking.steps, summary.is_proved)
            shown.append(
                (ranking.head, summary.side, summary.ranks, summary.corruptions_proved, *of_positive)
            )
    return shown


def proved_here(work: LazyQueries, engine: str, queries_per_shard: int) -> list[ShardResult]:
    """Returns the results of this process."""
    from proofrank.core.evaluator import create_evaluator

    policy = load_policy(POLICY, work.corruptor.dataset)
    evaluator = create_evaluator(engine, work.corruptor.dataset, policy, settings_for(policy), device="cpu")
    return [prove_shard(evaluator, work, shard) for shard in cut_shards(work, 2, queries_per_shard)]


@contextmanager
def once(is_so: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Calls ``act`` in another thread, once ``is_so`` is true, while the context lasts."""

    def watch() -> None:
        while not is_so():
            if is_over.wait(0.01):
                return
        act()

    is_over = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def bars_and_other_lines(told: str) -> tuple[list[str], list[str]]:
    """Returns each state of the progress bar on the terminal, and the other lines."""
    without_colours = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told)
    lines = [line.strip() for line in re.split(r"[\r\n]+", without_colours) if line.strip()]
    bars = [line for line in lines if line.startswith("candidates ")]
    return bars, [line for line in lines if line not in bars]


def test_two_workers_of_which_one_is_killed_end_what_one_process_began_with_the_numbers_of_one_process(
    address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["evaluate", "--corruptions", "10", "--without-seconds", "--threads", "1"]
    alone, shared = tmp_path / "alone.json", tmp_path / "shared.json"
    rows, trace = tmp_path / "rows.jsonl", tmp_path / "trace.json"
    assert main([*command, "--results", str(rows), "--json", str(alone), "--pruning", "none"]) == 0
    expected = read_rows(rows)
    lines = rows.read_text(encoding="utf-8").splitlines(keepends=True)
    rows.write_text("".join(lines[:7]), encoding="utf-8")  # three queries, and one without its second side

    on_ray = ["--on", "ray", "--address", address, "--workers", "2", "--worker-cpus", "1"]
    more = ["--results", str(rows), "--json", str(shared), "--trace", str(trace), "--queries-per-shard", "2"]
    gated: list[GatedQueries] = []

    def gated_work(*given: Any) -> GatedQueries:
        # Both workers prove some of the first half; the rest waits for the worker that replaces the lost one.
        gated.append(GatedQueries.around(drawn_work(*given), tmp_path / "processes", (2,) * 12 + (3,) * 12))
        return gated[0]

    def has_a_result_of_ray() -> bool:
        return rows.read_bytes().count(b"\n") > 7

    killed: list[int] = []

    def kill_one() -> None:
        killed.append(min(gated[0].asking_processes()))
        os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(bulk, "drawn_work", gated_work)
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    capfd.readouterr()
    with once(has_a_result_of_ray, kill_one):
        assert main([*command, *on_ray, *more, "--pruning", "exact"]) == 0

    figures, figures_alone = (json.loads(path.read_text()) for path in (shared, alone))
    # What the run before has left out is not known.
    assert figures.pop("pruning")["unprovable"] is None
    assert figures_alone.pop("pruning") == {"level": "none"}
    assert figures == figures_alone
    assert sorted(read_rows(rows), key=place) == expected
    shards = json.loads(trace.read_text())["shards"]
    assert sorted(shard["shard"] for shard in shards) == [*range(11)]
    assert sum(shard["queries"] for shard in shards) == 21
    assert len(gated[0].asking_processes()) == 3
    assert gated[0].asking_processes() - set(killed) <= {shard["process"] for shard in shards}
    assert os.getpid() not in gated[0].asking_processes()
    told = capfd.readouterr()
    bars, others = bars_and_other_lines(without_reading(told.err))
    assert others[0] == f"{rows}: 3 of 24 queries are done; going on"
    # The lost worker is included if it had returned any shard.
    num_workers = len({shard["process"] for shard in shards})
    assert any(line.startswith(f"{num_workers} workers proved 11 shards") for line in others)
    assert "row/s" not in told.out + told.err  # as the bars of Ray have it
    # 16 candidates a query; the first bar is drawn before the resumed ones are counted.
    assert [re.findall(r"(\d+)/384", bar) for bar in (bars[1], bars[-1])] == [["48"], ["384"]]


def check_that_ray_was_left() -> None:
    """Checks that no thread here continues the evaluation, which would start another Ray."""
    time.sleep(1)
    assert not [thread.name for thread in threading.enumerate() if "StreamingExecutor" in thread.name]
    assert not ray.is_initialized()


LONG_RUN = [
    "evaluate",
    "--engine",
    "original",
    "--corruptions",
    "40",
    "--queries-per-shard",
    "1",
    "--on",
    "ray",
    "--workers",
    "1",
]
"""Options for 24 shards of some tenths of a second each, so that the evaluation outlasts the first shard."""


def test_beams_have_the_numbers_of_one_process(address: str, tmp_path: Path) -> None:
    beam = ["--beam", "3", "--beam-score", "logsumexp"]
    command = [
        "evaluate",
        "--corruptions",
        "5",
        "--queries",
        "4",
        "--without-seconds",
        "--threads",
        "1",
        *beam,
    ]
    on_ray = ["--on", "ray", "--address", address, "--workers", "1", "--worker-cpus", "1"]
    alone, shared = tmp_path / "alone.json", tmp_path / "shared.json"

    assert main([*command, "--json", str(alone)]) == 0
    assert main([*command, *on_ray, "--json", str(shared)]) == 0

    assert shared.read_text() == alone.read_text()
    assert json.loads(shared.read_text())["protocol"]["beam"] == 3


def test_an_error_of_a_shard_ends_the_evaluation_before_it_ends_ray(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LONG_RUN, "--address", address, "--engine", "defualt"]) == 2
    assert "proofrank: unknown engine 'defualt'; did you mean 'default'" in capsys.readouterr().err
    check_that_ray_was_left()


def test_results_that_cannot_be_written_any_more_end_the_evaluation_before_they_end_ray(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "rows.parquet"
    with once(lambda: has_rows(results), lambda: shutil.rmtree(results)):
        assert main([*LONG_RUN, "--address", address, "--results", str(results)]) == 2
    reason = f"proofrank: --results {results}: cannot be written: No such file or directory\n"
    assert capsys.readouterr().err.endswith(reason)
    check_that_ray_was_left()


@pytest.mark.slow
def test_ctrl_c_ends_the_evaluation_before_it_ends_ray(address: str, tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    # In the background of a shell, Python would ignore this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with once(lambda: has_rows(results), lambda: os.kill(os.getpid(), signal.SIGINT)):
            assert main([*LONG_RUN, "--address", address, "--results", str(results)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0 < len(read_rows(results)) < 48
    check_that_ray_was_left()


@pytest.mark.slow
def test_workers_that_are_killed_at_five_random_moments_leave_the_numbers_of_one_process(
    address: str, tmp_path: Path
) -> None:
    # The last shards wait for five workers more than two, so they are not proved before the last kill.
    work = GatedQueries.around(countries_work(corruptions=40), tmp_path / "processes", (1,) * 20 + (7,) * 4)
    seed = random.randrange(2**32)
    print(f"seed of the moments: {seed}")  # shown if the test fails
    killed: list[int] = []

    def kill_five() -> None:
        moments = random.Random(seed)
        while len(killed) < 5 and not is_over.is_set():
            alive = sorted(work.asking_processes() - set(killed))
            if not alive:
                is_over.wait(0.02)
                continue
            is_over.wait(moments.uniform(0, 1))
            killed.append(moments.choice(alive))
            os.kill(killed[-1], signal.SIGKILL)

    is_over = threading.Event()
    killer = threading.Thread(target=kill_five)
    killer.start()
    try:
        results = list(prove_on_ray(address, work, "original", queries_per_shard=1))
    finally:
        is_over.set()
        killer.join()
    assert len(killed) == 5
    assert sorted(result.shard.number for result in results) == [*range(24)], killed
    expected = without_seconds(proved_here(work.without_gates(), "original", 1))
    assert without_seconds(results) == expected, killed


@pytest.mark.slow
def test_two_machines_that_share_no_disk_compile_once(quiet_ray: None, tmp_path: Path) -> None:
    work = countries_work(corruptions=3)
    caches = [tmp_path / "first", tmp_path / "second"]
    cluster = Cluster()
    try:
        for cache in caches:
            cluster.add_node(
                num_cpus=1, include_dashboard=False, env_vars={**os.environ, "XDG_CACHE_HOME": str(cache)}
            )
        results = list(prove_on_ray(str(cluster.address), work, "default", queries_per_shard=4))
    finally:
        cluster.shutdown()
    assert {result.engine for result in results} == {"default"}
    assert len({result.process for result in results}) == 2
    assert [result.graphs_compiled for result in results] == [0] * len(results)
    packages = [sorted(path.relative_to(cache) for path in cache.rglob("*.pt2")) for cache in caches]
    assert packages[0] == packages[1]
    assert len(packages[0]) == 2  # one for each half of a tick
    expected = without_seconds(proved_here(work, "eager", 4))
    assert [row[:4] for row in without_seconds(results)] == [row[:4] for row in expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--worker-cpus", "64"],
            "a worker of --worker-cpus 64 and --worker-gpus 0 does not fit into the cluster",
        ),
        (
            ["--worker-gpus", "1"],
            "a worker of --worker-cpus 1 and --worker-gpus 1 does not fit into the cluster",
        ),
    ],
)
def test_what_the_cluster_cannot_do_is_told_in_one_line(
    address: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--on", "ray", "--address", address, *options]) == 2
    assert f"proofrank: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("scoring", ["embedding", "hybrid"])
def test_workers_score_by_an_embedding_as_one_process_does(
    scoring: str, address: str, tmp_path: Path
) -> None:
    embedding = write_distmult(tmp_path / "distmult", load_dataset(DATASET))
    command = ["evaluate", "--corruptions", "10", "--queries", "6", "--without-seconds", "--threads", "1"]
    command += ["--scoring", scoring, "--embedding", str(embedding)]
    alone, shared = tmp_path / "alone.json", tmp_path / "shared.json"
    assert main([*command, "--json", str(alone)]) == 0
    on_ray = ["--on", "ray", "--address", address, "--workers", "2", "--worker-cpus", "1"]
    assert main([*command, *on_ray, "--queries-per-shard", "2", "--json", str(shared)]) == 0
    assert shared.read_bytes() == alone.read_bytes()
