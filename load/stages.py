"""The measurements of a server: throughput, latency by level of load, and a soak."""

from __future__ import annotations

import itertools
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import urllib3

from load.asking import Asker
from load.checkpoint import Checkpoint
from load.processes import AloneProcess, ServerProcess
from load.tally import Quantiles, Tally
from load.triples import Triple

_SECONDS_BETWEEN_POLICIES = 10.0
_SECONDS_BETWEEN_SCRAPES = 5.0


class StageError(Exception):
    """A stage did not measure what it should."""


@dataclass(frozen=True)
class Throughput:
    """The throughput of three setups, measured in turn on the same candidates, several times.

    Attributes:
        candidates: candidates of each turn of the first two setups; the third has the first queries of them.
        alone: candidates a second of the evaluator in a process without a server.
        shared: candidates a second of the server with ``num_clients`` clients at the same time.
        serial: candidates a second of the server with one request at a time, so without batching across clients.
        queries_per_second: median rate of ``shared``.
        cost: share of the evaluator's throughput that the server costs, from the medians.
        gain: throughput of ``shared`` over that of ``serial``, from the medians.
        alone_cpu_ms: median computing time of a candidate, of all threads; it gives the server's cost on a machine that
            others use too, where rates vary.
        shared_cpu_ms: the same for the server.
        serial_seconds: times of the requests, one at a time.
    """

    candidates: int
    alone: list[float]
    shared: list[float]
    serial: list[float]
    num_clients: int
    queries_per_second: float
    cost: float
    gain: float
    alone_cpu_ms: float
    shared_cpu_ms: float
    serial_seconds: Quantiles


def throughput(
    alone: AloneProcess,
    server: ServerProcess,
    triples: Sequence[Triple],
    *,
    corruptions: int,
    num_clients: int,
    repeats: int,
) -> Throughput:
    """Measures the throughput.

    Raises:
        StageError: the setups do not rank the same candidates, or not with the same MRR.
    """
    asker = Asker(server.url, corruptions=corruptions)
    few = triples[: max(1, len(triples) // 4)]
    by_itself, shared, serial = [], [], []
    alone_cpu, shared_cpu = [], []
    rates: list[float] = []
    candidates, one_by_one = 0, Tally()
    for _ in range(repeats):
        before = alone.cpu_seconds, server.cpu_seconds
        result = alone.rank(triples)
        candidates = result.candidates
        by_itself.append(candidates / result.seconds)
        tally = asker.closed_loop(triples, num_clients)
        _check_same(tally, result.candidates, result.mrr)
        shared.append(tally.candidates / tally.elapsed)
        alone_cpu.append((alone.cpu_seconds - before[0]) / candidates * 1000)
        shared_cpu.append((server.cpu_seconds - before[1]) / candidates * 1000)
        rates.append(tally.queries / tally.elapsed)
        tally = asker.closed_loop(few, 1)
        serial.append(tally.candidates / tally.elapsed)
        one_by_one.answers.extend(tally.answers)
    return Throughput(
        candidates,
        by_itself,
        shared,
        serial,
        num_clients,
        statistics.median(rates),
        cost=1 - statistics.median(shared) / statistics.median(by_itself),
        gain=statistics.median(shared) / statistics.median(serial),
        alone_cpu_ms=statistics.median(alone_cpu),
        shared_cpu_ms=statistics.median(shared_cpu),
        serial_seconds=one_by_one.quantiles,
    )


def _check_same(tally: Tally, candidates: int, mrr: float) -> None:
    reciprocal = [answer.mrr for answer in tally.answers if answer.mrr is not None]
    if tally.candidates != candidates or abs(statistics.fmean(reciprocal or [0.0]) - mrr) > 1e-6:
        raise StageError(
            f"the server ranked {tally.candidates} candidates to an MRR of {statistics.fmean(reciprocal or [0.0])}, "
            f"the evaluator alone {candidates} to {mrr}; answers by status: {tally.statuses}"
        )


@dataclass(frozen=True)
class Level:
    """Requests that arrive at random at a share of the rate at saturation, whether or not others are answered.

    Attributes:
        share: share of that rate.
        rate: requests a second.
        requests: number of requests.
        seconds: times of the answered ones, from when they were due.
        refusal_seconds: times of the refused ones.
        statuses: number of answers with each status.
        error_share: share of requests neither answered nor refused.
        candidates_per_second: candidates ranked a second.
        resident_mib: the server's memory before and after.
    """

    share: float
    rate: float
    requests: int
    seconds: Quantiles
    refusal_seconds: Quantiles
    statuses: dict[str, int]
    error_share: float
    candidates_per_second: float
    resident_mib: tuple[float, float]

    @property
    def growth_mib(self) -> float:
        """Growth of the server's memory."""
        before, after = self.resident_mib
        return after - before


def level(
    server: ServerProcess,
    triples: Sequence[Triple],
    *,
    corruptions: int,
    saturated: float,
    share: float,
    seconds: float,
) -> Level:
    """Measures one level of load; ``saturated`` is the rate at saturation, in requests a second."""
    before = server.resident_mib
    tally = Asker(server.url, corruptions=corruptions).open_loop(triples, share * saturated, seconds)
    return Level(
        share,
        share * saturated,
        len(tally.answers),
        tally.quantiles,
        tally.refusal_quantiles,
        tally.statuses,
        tally.error_share,
        tally.candidates / tally.elapsed if tally.answers else 0.0,
        (before, server.resident_mib),
    )


@dataclass(frozen=True)
class Soak:
    """A long run with new policies and scrapes beside the requests.

    Attributes:
        minutes: duration.
        policies: number of uploads that went live.
        load: the requests.
        resident_mib: the server's memory at each scrape.
    """

    minutes: float
    policies: int
    load: Level
    resident_mib: list[float]

    @property
    def first_and_last_mib(self) -> tuple[float, float]:
        """Median of the server's memory in the first and in the last tenth; before and after if the soak was
        too short.
        """
        if not self.resident_mib:
            return self.load.resident_mib
        tenth = max(1, len(self.resident_mib) // 10)
        return statistics.median(self.resident_mib[:tenth]), statistics.median(self.resident_mib[-tenth:])

    @property
    def growth_mib(self) -> float:
        """Growth of the server's memory from the first to the last tenth."""
        first, last = self.first_and_last_mib
        return last - first


def soak(
    server: ServerProcess,
    triples: Sequence[Triple],
    checkpoint: Checkpoint,
    *,
    corruptions: int,
    saturated: float,
    share: float,
    minutes: float,
) -> Soak:
    """Runs the soak."""
    is_over = threading.Event()
    resident: list[float] = []
    uploads: list[int] = []

    def scrape() -> None:
        while not is_over.wait(_SECONDS_BETWEEN_SCRAPES):
            urllib3.request("GET", f"{server.url}/metrics")
            resident.append(server.resident_mib)

    def upload() -> None:
        for epoch in itertools.count(1):
            form = checkpoint.of_epoch(epoch).form()
            headers = {"Content-Type": form.content_type}
            url = f"{server.url}/policies/soak?activate=true"
            uploads.append(urllib3.request("PUT", url, body=form.body, headers=headers).status)
            if is_over.wait(_SECONDS_BETWEEN_POLICIES):
                return

    threads = [threading.Thread(target=target) for target in (scrape, upload)]
    for thread in threads:
        thread.start()
    try:
        loaded = level(
            server, triples, corruptions=corruptions, saturated=saturated, share=share, seconds=60 * minutes
        )
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    return Soak(minutes, sum(status in (200, 201) for status in uploads), loaded, resident)
