"""How long big bodies take to read, and stop all other threads meanwhile: ``python -m benchmarks.read_body``.

The service parses with ``json.loads`` and validates in steps (``service/web/json_bodies.py``); beside it stand pydantic
alone (``model_validate_json``), and the same parser with validation in one step. A second thread notes its longest
pause.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from benchmarks.common import print_table
from proofrank.service.errors import InvalidInput
from proofrank.service.web.json_bodies import read_json, validate_items
from proofrank.service.wire import JobRequest

QUERY = b'{"head": "country1", "relation": "locatedInCR", "tail": "europe"}'


def bodies(size: int) -> dict[str, bytes]:
    """Bodies of about ``size`` bytes: one that is right, and three that were made to be expensive."""
    fields = b",".join(b'"%x":0' % index for index in range(size // 10))
    return {
        "queries": b'{"queries":[' + b",".join([QUERY] * (size // len(QUERY))) + b"]}",
        "unknown fields": b"{" + fields + b"}",
        "unknown fields of a query": b'{"queries":[{' + fields + b"}]}",
        "lists for a number": b'{"seed":[' + b",".join([b"[]"] * (size // 3)) + b"]}",
    }


def in_steps(body: bytes) -> Any:
    """As the service does."""
    value = read_json(body)
    validate_items(value, JobRequest)
    return JobRequest.model_validate(value)


def in_one_step(body: bytes) -> Any:
    """Parsed as the service does, validated at once."""
    return JobRequest.model_validate(read_json(body))


WAYS: dict[str, Callable[[bytes], Any]] = {
    "in steps": in_steps,
    "in one step": in_one_step,
    "model_validate_json": JobRequest.model_validate_json,
}


def measured(read: Callable[[bytes], Any], body: bytes) -> tuple[float, float]:
    """The seconds to read ``body``, and the longest pause of another thread meanwhile."""
    pauses: list[float] = []
    is_over, is_counting = threading.Event(), threading.Event()

    def count() -> None:
        last = time.perf_counter()
        while not is_over.is_set():
            time.sleep(0.0005)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now
            is_counting.set()

    counting = threading.Thread(target=count)
    counting.start()
    is_counting.wait()
    gc.disable()
    began = time.perf_counter()
    with contextlib.suppress(ValidationError, InvalidInput):
        read(body)
    seconds = time.perf_counter() - began
    gc.enable()
    is_over.set()
    counting.join()
    return seconds, max(pauses)


def main(arguments: list[str] | None = None) -> None:
    """Prints a row for each body and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=16, help="size of each body")
    parsed = parser.parse_args(arguments)
    sys.setswitchinterval(0.001)  # as the service does
    rows = []
    for name, body in bodies(parsed.mib * 2**20).items():
        for way, read in WAYS.items():
            seconds, pause = measured(read, body)
            rows.append({"body": name, "read": way, "seconds": seconds, "longest pause": pause})
    print_table(rows)


if __name__ == "__main__":
    main()
