"""Ticks compiled ahead of time: the same outcomes, kept for the next start, and harmless where anything is amiss.

The compiler takes half a minute, so one tick is compiled, of a small graph, and every test begins with its packages.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest import LogCaptureFixture, MonkeyPatch

from benchmarks.common import random_policy
from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator
from proofrank.core.evaluator.artifacts import CompileCounts, compile_counts
from proofrank.core.evaluator.diff import differences
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import Candidate, Outcome, ProverSettings
from tests.helpers.outcomes import assert_same, collect_outcomes

LANES = 4
MORE_LANES = 8
ENOUGH_TICKS = 200
ROOT = Path(__file__).resolve().parents[3]

_START = """
import sys
from pathlib import Path
from tests.core.evaluator.test_packages import evaluator_in, graph_and_policy
from proofrank.core.evaluator.artifacts import compile_counts
evaluator = evaluator_in(Path(sys.argv[1]), *graph_and_policy())
evaluator.warm_up()
print(evaluator.engine, compile_counts().cache_hits, compile_counts().cache_misses)
"""

_START_WITHOUT_COMPILING = f"""
import shutil, sys, time
from pathlib import Path
from proofrank.core.evaluator import packages

def build_once_the_other_is_there(half, path):
    while len(list(Path(sys.argv[1]).glob("arrived-*"))) < 2:
        time.sleep(0.05)
    time.sleep(1)
    shutil.copy(next(Path(sys.argv[3]).glob(half.name + "-*.pt2")), path)

packages._build = build_once_the_other_is_there
(Path(sys.argv[1]) / f"arrived-{{sys.argv[2]}}").touch()
{_START}
"""

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def graph_and_policy() -> tuple[Dataset, Policy]:
    dataset = load_dataset(DATASET)
    return dataset, load_policy(POLICY, dataset)


def evaluator_in(
    folder: Path,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings | None = None,
    *,
    buckets: tuple[int, ...] = (LANES,),
) -> CompiledEvaluator:
    return CompiledEvaluator(
        dataset,
        policy,
        settings or policy.settings or ProverSettings(),
        EvaluatorOptions(buckets=buckets, pool_size=64, cache_folder=folder),
        compile_mode="default",
    )


@pytest.fixture(scope="module")
def loaded() -> tuple[Dataset, Policy]:
    return graph_and_policy()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, loaded: tuple[Dataset, Policy]) -> Path:
    """A folder with the packages of a tick, made once."""
    folder = tmp_path_factory.mktemp("made")
    evaluator_in(folder, *loaded).warm_up()
    assert [path.name.split("-")[0] for path in sorted(folder.glob("*.pt2"))] == ["first", "second"]
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "artifacts"))


def package_in(folder: Path, half: str) -> Path:
    return next(folder.glob(f"{half}-*.pt2"))


def candidates_of(dataset: Dataset) -> list[Candidate]:
    return [
        Candidate(triple, is_positive=number % 2 == 0)
        for number, triple in enumerate(dataset.splits["test"][:24])
    ]


def since(before: CompileCounts) -> tuple[int, int]:
    """Packages taken from the folder and packages made since ``before``."""
    after = compile_counts()
    return after.cache_hits - before.cache_hits, after.cache_misses - before.cache_misses


def without_compiler(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", _no_compiler)


def _no_compiler() -> str:
    from torch._inductor.exc import InvalidCxxCompiler

    raise InvalidCxxCompiler


def test_a_restart_loads_the_package_and_gives_the_originals_outcomes(
    folder: Path, loaded: tuple[Dataset, Policy]
) -> None:
    dataset, policy = loaded
    before = compile_counts()
    evaluator = evaluator_in(folder, dataset, policy)
    evaluator.warm_up()
    assert since(before) == (2, 0)
    assert evaluator.engine == "default"
    original = ReferenceEvaluator(dataset, policy, evaluator.settings)
    assert not differences(evaluator, original, candidates_of(dataset))


def test_another_policy_in_the_same_buffers_needs_no_compiler(
    folder: Path, loaded: tuple[Dataset, Policy], monkeypatch: MonkeyPatch
) -> None:
    dataset, policy = loaded
    evaluator = evaluator_in(folder, dataset, policy)
    evaluator.warm_up()
    without_compiler(monkeypatch)
    before = compile_counts()
    other = random_policy(dataset, policy, seed=5)
    evaluator.load_policy(other)
    original = ReferenceEvaluator(dataset, other, evaluator.settings)
    assert not differences(evaluator, original, candidates_of(dataset))
    assert compile_counts() == before


def test_a_machine_without_a_compiler_uses_the_package(folder: Path, tmp_path: Path) -> None:
    assert start(folder, tmp_path) == "default 2 0"


def test_a_machine_without_compiler_and_package_goes_on_without(tmp_path: Path) -> None:
    assert start(tmp_path / "none", tmp_path) == "eager 0 0"


def test_candidates_in_flight_are_not_lost_where_another_bucket_has_neither_package_nor_compiler(
    folder: Path, loaded: tuple[Dataset, Policy], monkeypatch: MonkeyPatch
) -> None:
    dataset, policy = loaded
    candidates = candidates_of(dataset)
    without_compiler(monkeypatch)
    evaluator = evaluator_in(folder, dataset, policy, buckets=(LANES, MORE_LANES))
    slots = evaluator.submit(candidates[:12])
    evaluator.advance(3, LANES)
    assert evaluator.engine == "default"
    assert evaluator.tick_of(LANES).buffers.lanes.is_busy.any()
    cancelled = slots.pop()
    evaluator.cancel([cancelled])
    slots += evaluator.submit(candidates[12:])

    evaluator.advance(ENOUGH_TICKS, MORE_LANES)

    assert evaluator.engine == "eager"
    outcomes = collect_outcomes(evaluator)
    assert sorted(outcomes) == sorted(slots)
    expected = ReferenceEvaluator(dataset, policy, evaluator.settings).evaluate(
        candidates[:11] + candidates[12:]
    )
    found = [outcome for slot in slots if isinstance(outcome := outcomes[slot], Outcome)]
    assert_same(found, expected)
    assert evaluator.num_free_slots == 64


def start(folder: Path, tmp_path: Path) -> str:
    """What a process says that finds no program at all beside Python."""
    environment = {**os.environ, "PATH": str(tmp_path / "empty"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    environment["OMP_NUM_THREADS"] = "1"  # as in the process that made the package
    environment.pop("CXX", None)
    done = subprocess.run(
        [sys.executable, "-c", _START, str(folder)],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def test_a_damaged_package_is_dropped_with_a_warning(
    folder: Path, loaded: tuple[Dataset, Policy], monkeypatch: MonkeyPatch, caplog: LogCaptureFixture
) -> None:
    package = package_in(folder, "first")
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes(content)
    without_compiler(monkeypatch)
    evaluator = evaluator_in(folder, *loaded)
    with caplog.at_level(logging.WARNING, "proofrank"):
        evaluator.warm_up()
    assert "is damaged" in caplog.text
    assert not package.exists()
    # There is no compiler to make it again.
    assert evaluator.engine == "eager"


def test_a_package_for_other_settings_is_not_used(
    folder: Path, loaded: tuple[Dataset, Policy], monkeypatch: MonkeyPatch
) -> None:
    dataset, policy = loaded
    settings = policy.settings or ProverSettings()
    without_compiler(monkeypatch)
    before = compile_counts()
    # No shape depends on this one: it is a constant of the code.
    other = dataclasses.replace(settings, memory_pruning=not settings.memory_pruning)
    evaluator = evaluator_in(folder, dataset, policy, other)
    evaluator.warm_up()
    assert since(before) == (0, 0)
    assert evaluator.engine == "eager"


def test_a_package_that_is_whole_but_no_package_is_dropped_too(
    folder: Path, loaded: tuple[Dataset, Policy], monkeypatch: MonkeyPatch, caplog: LogCaptureFixture
) -> None:
    from proofrank.core.evaluator import packages

    package = package_in(folder, "first")
    stem = package.name.rsplit("-", 1)[0]
    package.unlink()
    (folder / packages._name(stem, b"no package")).write_bytes(b"no package")
    without_compiler(monkeypatch)
    with caplog.at_level(logging.WARNING, "proofrank"):
        evaluator_in(folder, *loaded).warm_up()
    assert "is damaged" in caplog.text
    assert [path.name.split("-")[0] for path in folder.glob("*.pt2")] == ["second"]


def test_a_folder_that_cannot_be_written_to_costs_only_the_next_start(
    made: Path, loaded: tuple[Dataset, Policy], tmp_path: Path, monkeypatch: MonkeyPatch,
    caplog: LogCaptureFixture,
) -> None:  # fmt: skip
    from proofrank.core.evaluator import packages

    monkeypatch.setattr(packages, "_build", lambda half, path: shutil.copy(package_in(made, half.name), path))
    (tmp_path / "file").write_text("not a folder")
    evaluator = evaluator_in(tmp_path / "file" / "artifacts", *loaded)
    with caplog.at_level(logging.WARNING, "proofrank"):
        evaluator.warm_up()
    assert "artifacts are not kept" in caplog.text
    assert evaluator.engine == "default"


def test_of_two_processes_that_begin_together_one_compiles_and_the_other_loads(
    made: Path, tmp_path: Path
) -> None:
    assert said_by_two(_START_WITHOUT_COMPILING, tmp_path, str(made)) == ["default 0 2", "default 2 0"]


@pytest.mark.slow
def test_of_two_processes_that_begin_together_and_really_compile_one_does(tmp_path: Path) -> None:
    assert said_by_two(_START, tmp_path) == ["default 0 2", "default 2 0"]


def said_by_two(program: str, folder: Path, *arguments: str) -> list[str]:
    """What two processes say at their ends that begin at once on one folder, in alphabetical order."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder), name, *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    return sorted(process.communicate()[0].splitlines()[-1] for process in processes)


def test_two_processes_that_compile_the_same_at_once_do_not_harm_each_other(
    made: Path, loaded: tuple[Dataset, Policy], tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    from proofrank.core.evaluator import packages

    def build_second(half: Any, path: Path) -> None:
        # While this process compiles, another one finishes that could not lock the folder.
        package = package_in(made, half.name)
        shutil.copy(package, tmp_path)
        shutil.copy(package, path)

    monkeypatch.setattr(packages, "_build", build_second)
    evaluator_in(tmp_path, *loaded).warm_up()
    assert {path.name for path in tmp_path.glob("*.pt2")} == {path.name for path in made.glob("*.pt2")}
    before = compile_counts()
    evaluator_in(tmp_path, *loaded).warm_up()
    assert since(before) == (2, 0)
