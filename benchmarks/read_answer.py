"""How long the client takes to read large answers, and what it keeps: ``python -m benchmarks.read_answer``.

One answer to ``rank`` has 100,000 candidates, one of a job has 100,000 rankings. Reading is timed by the processor's
time, the least of several runs; the memory is that of Python's objects, without the answer's text.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from typing import Any

from benchmarks.common import print_table
from proofrank.service.client import JobResult, RankResult
from proofrank.service.wire import read_answer

_IDENTITY = {"name": "graph", "sha256": "0"}
_METRICS = {
    "mrr": 0.5,
    "hits@1": 0.1,
    "hits@3": 0.2,
    "hits@10": 0.3,
    "mean_rank": 2.0,
    "adjusted_mean_rank_index": 0.2,
    "positives_proved": 0.2,
    "corruptions_proved": None,
    "rankings": 1,
    "queries": 1,
    "candidates": 1,
    "seconds": 1.0,
}
_REPORT = {**_METRICS, "by_side": {"tail": _METRICS}, "by_relation": {}}
_RANKING = {
    "side": "tail",
    "rank": 1.5,
    "reciprocal_rank": 1 / 1.5,
    "score": -1.25,
    "log_probability": -1.25,
    "ranks": {"optimistic": 1.0, "realistic": 1.5, "pessimistic": 2.0, "random": 1.0},
    "proved": True,
    "steps": 3,
    "num_candidates": 100_000,
}


def rank_answer(num_candidates: int) -> dict[str, Any]:
    """An answer to ``POST /rank`` of one query with so many candidates."""
    candidates = [
        {
            "head": f"constant{index % 2000}",
            "relation": "related",
            "tail": f"constant{index % 5000}",
            "score": -index / 7,
            "proved": index % 3 == 0,
            "steps": index % 9,
        }
        for index in range(num_candidates)
    ]
    ranking = {**_RANKING, "candidates": candidates}
    return {
        "request_id": "r",
        "dataset": _IDENTITY,
        "policy": _IDENTITY,
        "engine": "eager",
        "metrics": _REPORT,
        "timing": {"queue_seconds": 0.0, "first_result_seconds": 0.0, "execution_seconds": 0.0},
        "queries": [{"head": "a", "relation": "related", "tail": "b", "rankings": [ranking]}],
    }


def job_answer(num_rankings: int) -> dict[str, Any]:
    """The results of a job with so many rankings."""
    job = {
        "id": "j",
        "state": "done",
        "error": None,
        "policy": _IDENTITY,
        "dataset": _IDENTITY,
        "created": "2026-01-31T12:00:00.000+00:00",
        "started": None,
        "finished": None,
        "progress": {"queries": 1, "queries_done": 1, "candidates": 1, "candidates_done": 1},
        "request": {"split": "test"},
        "metrics": _REPORT,
    }
    rankings = [
        {
            "query_index": index,
            "head": f"constant{index % 2000}",
            "relation": "related",
            "tail": "b",
            **_RANKING,
            "corruptions_proved": index % 50,
        }
        for index in range(num_rankings)
    ]
    return {"job": job, "rankings": rankings}


def measured(kind: type, body: bytes, repeats: int) -> tuple[float, float]:
    """The least seconds to read ``body``, and the megabytes that are kept then."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        read_answer(kind, body)
        seconds.append(time.process_time() - began)
    tracemalloc.start()
    answer = read_answer(kind, body)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del answer
    return min(seconds), kept / 1e6


def main(arguments: list[str] | None = None) -> None:
    """Prints a row for each answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=100_000, help="of candidates, and of rankings")
    parser.add_argument("--repeats", type=int, default=9, help="of each reading")
    parsed = parser.parse_args(arguments)
    rows = []
    for name, kind, answer in (
        ("candidates", RankResult, rank_answer(parsed.number)),
        ("rankings of a job", JobResult, job_answer(parsed.number)),
    ):
        body = json.dumps(answer, separators=(",", ":")).encode()
        seconds, kept = measured(kind, body, parsed.repeats)
        rows.append({"answer": name, "MB of JSON": len(body) / 1e6, "seconds": seconds, "MB kept": kept})
    print_table(rows)


if __name__ == "__main__":
    main()
