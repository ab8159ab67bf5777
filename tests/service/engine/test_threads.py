"""Only the evaluator's thread has helper threads of torch; what threads share stands several of them at once."""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from proofrank.core.policy import load_policy
from proofrank.service.engine.live_policy import MAX_REFERENCES, LivePolicy
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import compute_alone, make_workers, use_threads
from tests.helpers.hosting import hosting, run


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_workers_compute_alone_and_leave_the_evaluators_threads_to_it() -> None:
    compute_alone()
    seen: dict[str, int] = {}
    has_worked = threading.Event()

    def evaluate() -> None:
        use_threads(2)
        assert has_worked.wait(60)
        seen["evaluator"] = torch.get_num_threads()

    evaluator = threading.Thread(target=evaluate)
    evaluator.start()
    with make_workers() as workers:
        seen["worker"] = workers.submit(torch.get_num_threads).result(60)
    has_worked.set()
    evaluator.join()

    assert seen == {"worker": 1, "evaluator": 2}
    assert torch.get_num_threads() == 1


def test_references_of_more_policies_than_are_kept_may_be_asked_for_at_once(
    family_folder: Path, policy_folder: Path, hurried_threads: None
) -> None:
    async def test() -> None:
        async with hosting(family_folder, policy_folder) as host:
            loaded, live = host.loaded, LivePolicy(ServiceMetrics())
            policy = load_policy(policy_folder, loaded.dataset)
            policies = [dataclasses.replace(policy, content_hash=f"{number}") for number in range(8)]

            def ask(seed: int) -> None:
                chance = random.Random(seed)
                for _ in range(200):
                    asked = chance.choice(policies)
                    assert live.reference(loaded, asked).policy is asked

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(ask, range(8)))
            assert len(live._references) <= MAX_REFERENCES

    run(test)
