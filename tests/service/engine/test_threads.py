"""Only the evaluator's thread has helper threads of torch."""

from __future__ import annotations

import threading

import torch

from proofrank.service.threads import compute_alone, make_workers, use_threads


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
