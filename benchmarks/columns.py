"""The cost around the proofs of a large request: ``python -m benchmarks.columns --queries 400``.

One request ranks each query against 2,000 candidates, with everything but the proofs: corruptions are drawn, candidates
go through the scheduler and the pool, outcomes come back, ranks are made, and the answer is written as JSON. Instead of
a tick, every candidate gets an outcome at once (``benchmarks.instant``).

The program prints the seconds and processor seconds of each part, the peak of memory, the garbage collections that
visited every object, the longest delay of a thread that wakes every millisecond (how long any other thread would have
waited), and the hash of the answer without its times, which must not change with the code.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.common import add_output, machine, print_table, write_output
from benchmarks.instant import QUERY, InstantEvaluator, chain_and_policy
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Query, report
from proofrank.service.engine.ranker import RankedBatch, Ranker, count_candidates
from proofrank.service.ranking.json_names import JsonNames
from proofrank.service.ranking.to_queries import Limits, to_queries
from proofrank.service.ranking.to_response import ResponseBuilder, json_pieces, to_pruning, to_report
from proofrank.service.scheduler import Lanes, Scheduler
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import share_the_interpreter
from proofrank.service.wire import Identity, RankRequest, RankResponse, Timing

_WAKE_SECONDS = 0.001
_TIMES = re.compile(rb'"\w*seconds":[0-9.e-]+')


class Part(NamedTuple):
    """The cost of one part.

    Attributes:
        name: name of the part.
        seconds: seconds that passed.
        processor_seconds: processor seconds of all threads.
    """

    name: str
    seconds: float
    processor_seconds: float


class Watch:
    """Measures the delay of other threads and the garbage collections while the context lasts.

    Attributes:
        latest: longest delay of the thread that wakes every millisecond, in seconds.
        collections: seconds of each collection that visited every object.
    """

    def __init__(self) -> None:
        self.latest = 0.0
        self.collections: list[float] = []
        self._began = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._wake, daemon=True)

    def _wake(self) -> None:
        before = time.perf_counter()
        while not self._is_over.wait(_WAKE_SECONDS):
            now = time.perf_counter()
            self.latest = max(self.latest, now - before - _WAKE_SECONDS)
            before = now

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collections.append(time.perf_counter() - self._began)

    def __enter__(self) -> Watch:
        gc.callbacks.append(self._collected)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        gc.callbacks.remove(self._collected)


def main() -> int:
    """Measures one request and prints its cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--queries", type=int, default=400, help="queries of 2,000 candidates each (default: 400)"
    )
    add_output(parser)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    with tempfile.TemporaryDirectory(prefix="proofrank-") as folder:
        dataset, policy = chain_and_policy(Path(folder) / "chain")
    print(machine())
    measure(dataset, policy, 2)  # so that nothing happens for the first time
    figures = measure(dataset, policy, parsed.queries)
    print_table(figures["parts"])
    print_table([{name: value for name, value in figures.items() if name != "parts"}])
    write_output(parsed.json, figures)
    return 0


def measure(dataset: Dataset, policy: Policy, num_queries: int) -> dict[str, Any]:
    """Returns the cost of a request with ``num_queries`` queries."""
    share_the_interpreter()
    settings = ProverSettings()
    lanes = Lanes((512,), is_cost_by_lane=True)
    scheduler = Scheduler(lambda _: (InstantEvaluator(dataset, policy, settings), lanes))
    scheduler.start()
    body = RankRequest.model_validate(
        {"queries": [QUERY] * num_queries, "corruptions": "all", "return_candidates": True}
    )
    metrics = ServiceMetrics()
    ranker = Ranker(10**9, metrics)
    parts: list[Part] = []
    gc.collect()
    before = _resident_mib("VmRSS")
    _forget_the_peak()
    with Watch() as watch:
        with _timed(parts, "queries"):
            queries: list[Query] = to_queries(body, dataset, Limits(10**6, 10**9, 0))
            num_candidates = count_candidates(queries)
        with _timed(parts, "candidates, outcomes, ranks"):
            batch: RankedBatch = asyncio.run(ranker.rank(queries, body.seed, dataset, scheduler, policy))
        with _timed(parts, "metrics"):
            metrics_view = to_report(report(batch.ranked, dataset, body.ties))
        with _timed(parts, "JSON"):
            answer = RankResponse(
                request_id="request",
                dataset=Identity(name=dataset.name, sha256=dataset.content_hash),
                policy=Identity(name=policy.name, sha256=policy.content_hash),
                engine="instant",
                metrics=metrics_view,
                pruning=to_pruning("none", batch.counts),
                timing=Timing(queue_seconds=0, first_result_seconds=0, execution_seconds=0),
                queries=(),
            )
            pieces = list(
                json_pieces(answer, batch.ranked, ResponseBuilder(body, dataset, None, JsonNames(dataset)))
            )
    peak = _resident_mib("VmHWM")
    scheduler.stop()
    digest = hashlib.sha256(_TIMES.sub(b"", b"".join(pieces))).hexdigest()
    parts.append(
        Part("all", sum(part.seconds for part in parts), sum(part.processor_seconds for part in parts))
    )
    return {
        "candidates": num_candidates,
        "answer MiB": sum(map(len, pieces)) / 2**20,
        "memory before, MiB": before,
        "peak of memory, MiB": peak,
        "collections of everything": len(watch.collections),
        "the longest, ms": 1000 * max(watch.collections, default=0.0),
        "all of them, ms": 1000 * sum(watch.collections),
        "latest wake, ms": 1000 * watch.latest,
        "answer": digest[:16],
        "parts": [
            {
                "part": part.name,
                "seconds": part.seconds,
                "processor seconds": part.processor_seconds,
                "us of the processor per candidate": 1e6 * part.processor_seconds / num_candidates,
            }
            for part in parts
        ],
    }


@contextmanager
def _timed(parts: list[Part], name: str) -> Iterator[None]:
    began, processor_began = time.perf_counter(), time.process_time()
    yield
    parts.append(Part(name, time.perf_counter() - began, time.process_time() - processor_began))


def _resident_mib(field: str) -> float:
    """Returns a line of this process' status, ``VmRSS`` or ``VmHWM``, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def _forget_the_peak() -> None:
    """Resets ``VmHWM`` to the memory that is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    raise SystemExit(main())
