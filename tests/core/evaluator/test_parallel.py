"""An evaluation by several processes gives what one gives, whatever happens to the others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import OriginalStream, ReferenceEvaluator, create_evaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import TICKS_PER_LOOK, EvaluatorOptions
from proofrank.core.evaluator.parallel import Blueprint, ParallelEvaluator, helper_process, usable_processors
from proofrank.core.evaluator.parallel.helpers import Helper
from proofrank.core.evaluator.parallel.indexed import Ended, IndexedStream
from proofrank.core.evaluator.parallel.messages import Given
from proofrank.core.evaluator.stream import CandidateStream
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, Candidates, Outcome, ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.paths import all_paths, make_paths
from tests.helpers.policies import make_policy, with_nan

SETTINGS = ProverSettings(padding_states=6, padding_atoms=4, max_depth=6)
OPTIONS = EvaluatorOptions(buckets=(4,), pool_size=16)


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_paths(make_dataset)


@pytest.fixture(scope="module")
def policy(dataset: Dataset) -> Policy:
    return make_policy(dataset, 1, spread=2.0)


@pytest.fixture(scope="module")
def candidates(dataset: Dataset) -> list[Candidate]:
    return 8 * all_paths(dataset)


@pytest.fixture(scope="module")
def expected(dataset: Dataset, policy: Policy, candidates: list[Candidate]) -> list[Outcome]:
    return list(CompiledEvaluator(dataset, policy, SETTINGS).evaluate(candidates))


def of_few_lanes(dataset: Dataset, policy: Policy, settings: ProverSettings) -> CompiledEvaluator:
    return CompiledEvaluator(dataset, policy, settings, OPTIONS)


Make = Callable[..., ParallelEvaluator]


@pytest.fixture
def make(dataset: Dataset, policy: Policy) -> Iterator[Make]:
    """Makes evaluators of four lanes in each process, whose processes end with the test."""
    made: list[ParallelEvaluator] = []

    def make(
        num_processes: int = 2, policy: Policy = policy, seconds_worth_a_helper: float = 1e9
    ) -> ParallelEvaluator:
        evaluator = of_few_lanes(dataset, policy, SETTINGS)
        blueprint = Blueprint(of_few_lanes, {"dataset": dataset, "policy": policy, "settings": SETTINGS})
        made.append(
            ParallelEvaluator(
                evaluator,
                evaluator,
                blueprint,
                num_processes,
                buckets=OPTIONS.buckets,
                seconds_worth_a_helper=seconds_worth_a_helper,
            )
        )
        return made[-1]

    yield make
    for evaluator in made:
        evaluator.close()


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_outcomes_do_not_depend_on_the_number_of_processes(
    make: Make, candidates: list[Candidate], expected: list[Outcome], num_processes: int
) -> None:
    evaluator = make(num_processes)
    evaluator.warm_up()
    told: list[int] = []

    assert evaluator.evaluate(candidates, on_progress=told.append) == expected
    assert evaluator.evaluate(candidates[:5]) == expected[:5]

    assert evaluator.num_processes == num_processes
    assert told == sorted(told)
    assert told[-1] == len(candidates)


def test_all_processes_take_part(
    make: Make, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    alone = of_few_lanes(dataset, policy, SETTINGS)
    evaluator = make(3)
    evaluator.warm_up()

    alone.evaluate(candidates)
    evaluator.evaluate(candidates)

    assert evaluator.work.states_scored == alone.work.states_scored
    shares = [helper.work.states_scored for helper in evaluator._helpers]
    assert all(share > 0.1 * alone.work.states_scored for share in shares)
    assert sum(shares) < alone.work.states_scored


class SlowStream:
    """A stream that moves on only once a helper has proved all that it was given, and counts its looks."""

    def __init__(self, stream: CandidateStream) -> None:
        self._stream = stream
        self.helper: Helper | None = None
        self.num_looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def advance(self, *arguments: Any) -> None:
        assert self.helper is not None
        while num_proved_of(self.helper) < len(self.helper.given):
            time.sleep(0.001)
        self.num_looks += 1
        self._stream.advance(*arguments)


def num_proved_of(helper: Helper) -> int:
    """How many candidates are done by the messages of ``helper`` that have not been read."""
    with socket.socket(fileno=os.dup(helper.connection.fileno())) as end:
        try:
            unread = end.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
    number = 0
    while len(unread) >= 4:
        length = int.from_bytes(unread[:4], "big")
        message, unread = unread[4 : 4 + length], unread[4 + length :]
        if len(message) == length:
            number += len(pickle.loads(message).ended.indices)
    return number


def test_all_that_a_process_has_done_since_the_last_look_is_taken_in(
    dataset: Dataset, policy: Policy, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = of_few_lanes(dataset, policy, SETTINGS)
    slow: Any = SlowStream(evaluator)
    blueprint = Blueprint(of_few_lanes, {"dataset": dataset, "policy": policy, "settings": SETTINGS})
    parallel = ParallelEvaluator(evaluator, slow, blueprint, 2, buckets=OPTIONS.buckets)
    parallel.warm_up()
    slow.helper = parallel._helpers[0]

    assert parallel.evaluate(candidates) == expected

    parallel.close()
    given_at_once = 2 * OPTIONS.buckets[0]
    assert slow.num_looks <= len(candidates) / given_at_once + 1


def test_a_process_goes_on_while_nobody_reads_what_it_has_done(
    dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    mine, its = multiprocessing.Pipe()
    with socket.socket(fileno=os.dup(its.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that the system has
    options = EvaluatorOptions(buckets=OPTIONS.buckets, pool_size=len(candidates))
    stream = CompiledEvaluator(dataset, policy, SETTINGS, options)
    is_all_done = threading.Event()

    class Watched(IndexedStream):
        def move(self, num_lanes: int | None) -> Ended:
            ended = super().move(num_lanes)
            if not self.num_held:
                is_all_done.set()
            return ended

    def prove() -> None:
        with ThreadPoolExecutor(1) as sender, pytest.raises((EOFError, OSError)):
            helper_process._prove(its, stream, sender)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper_process, "IndexedStream", Watched)
        mine.send(Given(1, np.arange(len(candidates)), Candidates.of(candidates), None))
        thread = threading.Thread(target=prove)
        thread.start()
        assert is_all_done.wait(100)
        done: set[int] = set()
        while len(done) < len(candidates):
            done.update(mine.recv().ended.indices.tolist())
        mine.close()
        thread.join(100)
    its.close()


def test_further_processes_join_an_evaluation_that_takes_long_and_no_short_one(
    make: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    short, long = make(), make(seconds_worth_a_helper=1e-6)

    assert short.evaluate(candidates) == expected
    assert long.evaluate(candidates) == expected

    assert (short.num_processes, long.num_processes) == (1, 2)


def test_a_further_process_joins_what_is_evaluated_for_long_in_short_parts(
    make: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make(seconds_worth_a_helper=0.05)
    num_parts = 0
    while evaluator.num_processes == 1 and num_parts < 1000:
        assert evaluator.evaluate(candidates[:32]) == expected[:32]
        num_parts += 1
    assert evaluator.num_processes == 2
    assert evaluator.evaluate(candidates) == expected


def test_no_further_process_joins_for_what_is_over(
    make: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    of_one_look = next(place for place, outcome in enumerate(expected) if outcome.steps < TICKS_PER_LOOK)
    evaluator = make(seconds_worth_a_helper=1e-6)
    for _ in range(3):
        evaluator.evaluate([candidates[of_one_look]])
    assert evaluator.num_processes == 1


def test_the_reference_runs_in_several_processes_as_well(
    dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = create_evaluator("original", dataset, policy, SETTINGS, processes=2)
    assert isinstance(evaluator, ParallelEvaluator)
    evaluator.warm_up()

    outcomes = evaluator.evaluate(candidates[:60])
    evaluator.close()

    assert outcomes == ReferenceEvaluator(dataset, policy, SETTINGS).evaluate(candidates[:60])


def test_recorded_actions_are_followed(
    make: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    actions = [outcome.actions for outcome in expected]

    assert make().evaluate(candidates, recorded_actions=actions) == expected


def test_candidates_of_a_process_that_is_killed_are_proved_by_others(
    make: Make, candidates: list[Candidate], expected: list[Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = make(3)
    evaluator.warm_up()
    victim = evaluator.process_ids[0]
    os.kill(victim, signal.SIGSTOP)  # so that it has candidates when it is killed

    def kill(num_done: int) -> None:
        if num_done > len(candidates) / 2 and victim in evaluator.process_ids:
            os.kill(victim, signal.SIGKILL)

    with caplog.at_level(logging.WARNING):
        assert evaluator.evaluate(candidates, on_progress=kill) == expected

    assert evaluator.num_processes == 2
    assert "ended with status -9; its 8 candidates are proved by others" in caplog.text
    assert evaluator.evaluate(candidates) == expected


def test_an_evaluation_that_is_interrupted_leaves_nothing_to_the_next(
    make: Make, candidates: list[Candidate], expected: list[Outcome]
) -> None:
    evaluator = make(2)
    evaluator.warm_up()

    def interrupt(num_done: int) -> None:
        if num_done > 20:
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            evaluator.evaluate(candidates, on_progress=interrupt)
    backwards = evaluator.evaluate(candidates[::-1])

    assert backwards == expected[::-1]
    assert evaluator.num_processes == 2


def test_a_candidate_that_cannot_be_evaluated_exactly_is_an_error_in_every_process(
    make: Make, dataset: Dataset, policy: Policy, candidates: list[Candidate]
) -> None:
    evaluator = make(2, policy=with_nan(policy, dataset, "path"))
    evaluator.warm_up()

    for _ in range(2):
        with pytest.raises(EvaluationError, match="not finite"):
            evaluator.evaluate(candidates)


def test_what_cannot_be_sent_to_another_process_is_evaluated_by_this_one(
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = of_few_lanes(dataset, policy, SETTINGS)
    blueprint = Blueprint(lambda: stream, {})
    evaluator = ParallelEvaluator(
        stream, stream, blueprint, 2, buckets=OPTIONS.buckets, seconds_worth_a_helper=1e-6
    )

    with caplog.at_level(logging.WARNING):
        assert evaluator.evaluate(candidates) == expected

    assert evaluator.num_processes == 1
    assert caplog.text.count("no further process can take part in the evaluation") == 1


@pytest.mark.parametrize(
    ("make_other", "message"),
    [
        (OriginalStream, "came to engine original in place of eager"),
        (dict.fromkeys, "TypeError"),
    ],
)
def test_a_process_without_the_same_engine_takes_no_part(
    dataset: Dataset,
    policy: Policy,
    candidates: list[Candidate],
    expected: list[Outcome],
    caplog: pytest.LogCaptureFixture,
    make_other: Callable[..., OriginalStream],
    message: str,
) -> None:
    stream = of_few_lanes(dataset, policy, SETTINGS)
    blueprint = Blueprint(make_other, {"dataset": dataset, "policy": policy, "settings": SETTINGS})
    evaluator = ParallelEvaluator(stream, stream, blueprint, 2, buckets=OPTIONS.buckets)

    with caplog.at_level(logging.WARNING):
        evaluator.warm_up()
        assert evaluator.evaluate(candidates) == expected

    assert evaluator.num_processes == 1
    assert message in caplog.text


SCRIPT = """
import sys, time
from proofrank.core.evaluator import create_evaluator
from proofrank.core.graph import load_dataset
from proofrank.core.default import DATASET, POLICY
from proofrank.core.policy import load_policy
from proofrank.core.prover import Candidate, ProverSettings

dataset = load_dataset(DATASET)
policy = load_policy(POLICY, dataset)
evaluator = create_evaluator("eager", dataset, policy, ProverSettings(), device="cpu", processes=2)
evaluator.warm_up()
evaluator.evaluate([Candidate(dataset.splits["test"][0], is_positive=True)])
print(*evaluator.process_ids, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_killed", [False, True], ids=["ends", "is killed"])
def test_further_processes_of_a_script_without_a_guard_end_with_it(tmp_path: Path, is_killed: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        helper = int(process.stdout.readline())
        if is_killed:
            process.kill()
        else:
            process.communicate("")
    ends = time.monotonic() + 300
    while Path(f"/proc/{helper}").exists() and time.monotonic() < ends:
        time.sleep(0.01)

    assert not Path(f"/proc/{helper}").exists()


@pytest.mark.parametrize(
    ("quota", "number"),
    [("max 100000\n", 64), ("200000 100000\n", 2), ("50000 100000\n", 1), ("nonsense\n", 64), (None, 64)],
)
def test_the_quota_of_a_container_bounds_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, number: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota, encoding="ascii")

    assert usable_processors(tmp_path / "cpu.max") == number
