"""Measures how long others wait while a large answer is made: ``python -m tests.helpers.large_answer --queries 400``.

A server ranks each query against 2,000 candidates and answers with all of them, while another client repeats
``/readyz``. The evaluator gives every candidate an outcome at once, so the cost around the proofs is measured. The
program prints the time of the answer, its size, and the slowest ``/readyz``. ``benchmarks.columns`` divides the time
among the parts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.instant import QUERY, InstantEvaluator, write_chain
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.service.scheduler import Lanes
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer


def make_instant(
    settings: Settings,
    dataset: Dataset,
    policy: Policy,
    prover_settings: ProverSettings,
    metrics: ServiceMetrics,
    on_stage: Callable[[str], None],
) -> tuple[InstantEvaluator, Lanes]:
    """Replaces :func:`proofrank.service.engine.evaluators.make_evaluator`."""
    evaluator = InstantEvaluator(dataset, policy, prover_settings)
    return evaluator, Lanes(evaluator.buckets, is_cost_by_lane=True)


class Watcher(threading.Thread):
    """Repeats ``/readyz`` until it is stopped.

    Attributes:
        seconds: time of each answer.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._is_over = threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        """Repeats the request."""
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._is_over.wait(0.005):
                began = time.perf_counter()
                client.get("/readyz").raise_for_status()
                self.seconds.append(time.perf_counter() - began)

    def stop(self) -> None:
        """Stops the thread; returns once it has ended."""
        self._is_over.set()
        self.join()


def resident_mib(process_id: int, field: str) -> float:
    """Returns a line of the process' status, ``VmRSS`` or ``VmHWM``, in MiB."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def measure(server: RunningServer, num_queries: int) -> None:
    """Asks for one answer, and prints the figures."""
    request = {"queries": [QUERY] * num_queries, "corruptions": "all", "return_candidates": True}
    before = resident_mib(server.process_id, "VmRSS")
    watcher = Watcher(server.url)
    watcher.start()
    began = time.perf_counter()
    answer = httpx.post(f"{server.url}/rank", json=request, timeout=600, trust_env=False)
    seconds = time.perf_counter() - began
    watcher.stop()
    answer.raise_for_status()
    num_candidates = sum(
        len(ranking["candidates"]) for query in answer.json()["queries"] for ranking in query["rankings"]
    )
    slowest = sorted(watcher.seconds)[-3:]
    print(
        f"{num_candidates} candidates, {len(answer.content) / 2**20:.0f} MiB, in {seconds:.1f} s; "
        f"memory {before:.0f} MiB before, {resident_mib(server.process_id, 'VmHWM'):.0f} MiB at most"
    )
    print(
        f"/readyz meanwhile: {len(watcher.seconds)} answers, the slowest after "
        f"{', '.join(f'{second * 1000:.0f}' for second in slowest)} ms"
    )


def main() -> int:
    """Runs the measurement; with ``serve`` as the first argument, runs its server."""
    if sys.argv[1:2] == ["serve"]:
        import proofrank.service.cli.main
        import proofrank.service.engine.shape_evaluator

        proofrank.service.engine.shape_evaluator.make_evaluator = make_instant
        return proofrank.service.cli.main.main(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--queries",
        type=int,
        default=400,
        help="queries of 2,000 candidates each, at most 500 (default: 400)",
    )
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="proofrank-") as root:
        dataset = write_chain(Path(root) / "chain")
        policy = write_untrained_policy(Path(root) / "policy", dataset)
        arguments = ("--dataset", str(dataset), "--policy", str(policy))
        with RunningServer(*arguments, module="tests.helpers.large_answer") as server:
            measure(server.wait_until_ready(), parsed.queries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
