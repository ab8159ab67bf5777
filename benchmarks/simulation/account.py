"""The division of the workers' time in a run, and the bounds that no schedule can beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from benchmarks.simulation.cluster import Cluster
from benchmarks.simulation.model import Run
from benchmarks.simulation.shards import Shard


@dataclass(frozen=True)
class Account:
    """Shares of the time of all workers (their number times the makespan), whose sum is 1.

    Attributes:
        work: evaluation whose result was used: the efficiency of the run.
        start: time until a worker was ready, including the driver's start, and again after each loss.
        overhead: cost of shards in the worker.
        lost: evaluation that was lost with its worker.
        waiting: idle time while the driver still had shards to hand out.
        tail: idle time after the last shard was handed out, until the last was evaluated.
        finish: idle time after that, while the driver collected the last results and wrote files.
    """

    work: float
    start: float
    overhead: float
    lost: float
    waiting: float
    tail: float
    finish: float

    @property
    def largest_loss(self) -> str:
        """The name of the largest share besides the work."""
        shares = {name: share for name, share in vars(self).items() if name != "work"}
        return max(shares, key=lambda name: shares[name])


def account_of(run: Run) -> Account:
    """Sums up the spans of a run, and splits the time between them by what the driver had left."""
    totals: dict[str, float] = {field.name: 0.0 for field in fields(Account)}
    limits = (
        ("waiting", run.last_handed_out),
        ("tail", max(run.last_evaluated, run.last_handed_out)),
        ("finish", run.makespan),
    )
    for spans in run.spans:
        free_since, has_been_ready = 0.0, False
        for span in spans:
            # Before its first start a worker waits for the driver to ask for it, not for a shard.
            idle = (("start", span.began),) if not has_been_ready else limits
            _split(totals, idle, free_since, span.began)
            totals[span.activity] += min(span.ended, run.makespan) - span.began
            free_since, has_been_ready = span.ended, True
        _split(totals, limits if has_been_ready else (("start", run.makespan),), free_since, run.makespan)
    whole = len(run.spans) * run.makespan
    return Account(**{name: seconds / whole for name, seconds in totals.items()})


def _split(totals: dict[str, float], limits: Sequence[tuple[str, float]], began: float, ended: float) -> None:
    """Adds the time from ``began`` to ``ended`` to the names of ``limits``, each until its limit."""
    for name, limit in limits:
        until = min(ended, limit)
        if until > began:
            totals[name] += until - began
            began = until


@dataclass(frozen=True)
class Bounds:
    """Lower bounds on the seconds of any schedule of these shards on this cluster.

    Attributes:
        work: start, then all work and overhead divided evenly.
        longest_shard: start, then the longest shard.
        driver: all work of the driver, which is serial.
    """

    work: float
    longest_shard: float
    driver: float

    @property
    def largest(self) -> str:
        """The name of the largest bound."""
        return max(vars(self), key=lambda name: vars(self)[name])


def bounds_of(shards: Sequence[Shard], cluster: Cluster) -> Bounds:
    """Returns the bounds of a run without losses."""
    driver, worker = cluster.driver, cluster.worker
    start = driver.start + driver.per_worker + worker.start
    evaluation = [
        worker.per_shard + worker.per_query * shard.num_queries + shard.work_seconds / cluster.speed
        for shard in shards
    ]
    num_queries = sum(shard.num_queries for shard in shards)
    return Bounds(
        start + sum(evaluation) / cluster.num_workers + driver.finish,
        start + max(evaluation) + driver.finish,
        driver.start
        + driver.per_worker * cluster.num_workers
        + (driver.per_shard + driver.per_result) * len(shards)
        + (driver.per_query + driver.per_row) * num_queries
        + driver.finish,
    )
