"""Small requests beside a large one, which must not wait for it."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3

from load.asking import Asker
from load.processes import ServerProcess
from load.stages import StageError
from load.tally import Quantiles
from load.triples import Triple, rank_body

_LARGE_CORRUPTIONS = 100
_SECONDS_TO_SETTLE = 2.0


@dataclass(frozen=True)
class Fairness:
    """Times of small requests, sent one at a time, on the idle server and beside a large request.

    Attributes:
        large_candidates: candidates of the large request.
        idle: seconds of the small requests on the idle server.
        beside: seconds of the small requests beside the large one.
        ratio: median of ``beside`` over that of ``idle``.
    """

    large_candidates: int
    idle: Quantiles
    beside: Quantiles
    ratio: float


def fairness(
    server: ServerProcess,
    triples: Sequence[Triple],
    *,
    corruptions: int,
    num_small: int,
    large_candidates: int,
) -> Fairness:
    """Measures the fairness.

    Raises:
        StageError: the large request ended before the small ones did.
    """
    asker = Asker(server.url, corruptions=corruptions)
    small = list(itertools.islice(itertools.cycle(triples), num_small))
    asker.closed_loop(small[:3], 1)
    idle = asker.closed_loop(small, 1).quantiles
    with _large_request(server.url, triples, large_candidates):
        num_large = int(_queued_candidates(server.url))
        time.sleep(_SECONDS_TO_SETTLE)
        beside = asker.closed_loop(small, 1).quantiles
        if not _queued_candidates(server.url):
            raise StageError("the large request ended too early; make it larger")
    return Fairness(num_large, idle, beside, beside.p50 / idle.p50)


@contextmanager
def _large_request(url: str, triples: Sequence[Triple], candidates: int) -> Iterator[None]:
    """Runs one request with about ``candidates`` candidates while the context lasts, and then gives it up."""
    number = max(1, round(candidates / (2 * (1 + _LARGE_CORRUPTIONS))))
    many = list(itertools.islice(itertools.cycle(triples), number))
    body = json.dumps(rank_body(many, side="both", corruptions=_LARGE_CORRUPTIONS))
    parsed = urlsplit(url)
    connection = http.client.HTTPConnection(parsed.hostname or "", parsed.port, timeout=60)
    connection.request("POST", "/rank", body=body, headers={"Content-Type": "application/json"})
    try:
        _wait(lambda: _queued_candidates(url) > 0)
        yield
    finally:
        connection.close()
        _wait(lambda: _queued_candidates(url) == 0)


def _wait(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > ends:
            raise StageError(
                "the large request never shows up in proofrank_queued_candidates, or never leaves it"
            )
        time.sleep(0.05)


def _queued_candidates(url: str) -> float:
    text = urllib3.request("GET", f"{url}/metrics").data.decode()
    lines = (line for line in text.splitlines() if line.startswith("proofrank_queued_candidates "))
    return float(next(lines).split()[1])
