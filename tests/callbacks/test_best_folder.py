"""An evaluation beside the training reads ``best_folder`` at any time, and finds one policy in it, never two halves."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

import proofrank
from proofrank.callbacks import StepResult, Validation
from proofrank.core.policy import Policy, files_of
from proofrank.core.policy.checkpoint import content_hash_of
from proofrank.core.policy.files import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from tests.helpers.own_networks import default_dataset, exported_policy
from tests.helpers.policies import make_policy

NUM_STEPS = 200


class EverBetter:
    """Evaluations of which each is better than the one before."""

    def __init__(self, report: proofrank.EvaluationReport) -> None:
        self._report = report

    def start(self, step: int, policy: Policy) -> Future[StepResult]:
        done: Future[StepResult] = Future()
        done.set_result(StepResult(step, {"mrr": step / NUM_STEPS}, self._report))
        return done

    def keep(self, step: int, policy: Policy) -> None:
        return None

    def close(self) -> None:
        return None


def built_in() -> Policy:
    return make_policy(default_dataset(), 1)


def own() -> Policy:
    return exported_policy("two towers")


def content_hash(policy: Policy, step: int) -> str:
    """The hash of the policy's files with the notes that the callback adds."""
    files = files_of(policy, {"step": step})
    return content_hash_of(files[WEIGHTS_FILE], files[CONFIG_FILE], files[VOCABULARY_FILE])


@pytest.mark.parametrize("make", [built_in, own])
def test_a_reader_that_reads_all_the_time_sees_whole_policies(
    make: Callable[[], Policy], report: proofrank.EvaluationReport, tmp_path: Path
) -> None:
    first = make()
    second = copy.deepcopy(first)
    with torch.no_grad():
        for tensor in (*second.model.parameters(), *second.model.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1.5)
    policies = [first, second]
    expected = {content_hash(policies[step % 2], step): step for step in range(1, NUM_STEPS + 1)}
    best = tmp_path / "best"
    has_ended = threading.Event()

    def train() -> None:
        try:
            with Validation(EverBetter(report), best_folder=best) as validation:
                for step in range(1, NUM_STEPS + 1):
                    validation(step, policies[step % 2])
                assert validation.failures == 0
        finally:
            has_ended.set()

    training = threading.Thread(target=train)
    training.start()
    seen = []
    while not has_ended.is_set():
        if best.exists():
            seen.append(expected[proofrank.load_policy(best).content_hash])
    training.join()

    assert proofrank.load_policy(best).content_hash == content_hash(policies[NUM_STEPS % 2], NUM_STEPS)
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
