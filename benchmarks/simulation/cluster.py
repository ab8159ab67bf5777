"""The costs around the evaluation in a bulk run: driver, start and overheads of workers, wire, losses."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ClusterError(ValueError):
    """An impossible cluster; the message names the field, its value and what would be right."""


@dataclass(frozen=True)
class DriverCosts:
    """The driver's own time in seconds, all of it serial.

    Attributes:
        start: from the command to the first request for a worker: imports, dataset, queries, connection.
        per_worker: requesting one worker.
        per_shard: making and sending one shard.
        per_query: additional time for each query of a shard.
        per_result: receiving the result of one shard.
        per_row: additional time for each query of a result.
        finish: from the last result to the end of the command: metrics and files.
        round: time between two looks at arrivals; 0 if every arrival wakes the driver.
    """

    start: float = 0.0
    per_worker: float = 0.0
    per_shard: float = 0.0
    per_query: float = 0.0
    per_result: float = 0.0
    per_row: float = 0.0
    finish: float = 0.0
    round: float = 0.0

    def __post_init__(self) -> None:
        """Raises ClusterError."""
        _check_seconds("driver", self)


@dataclass(frozen=True)
class WorkerCosts:
    """A worker's own time around the evaluation, in seconds.

    Attributes:
        start: from the request to ready: process, imports, dataset, policy, evaluator, artifacts.
        per_shard: time for one shard around its work: unpacking it, packing its result.
        per_query: additional time for each query of a shard.
    """

    start: float = 0.0
    per_shard: float = 0.0
    per_query: float = 0.0

    def __post_init__(self) -> None:
        """Raises ClusterError."""
        _check_seconds("worker", self)


@dataclass(frozen=True)
class Cluster:
    """Workers around one driver.

    Attributes:
        num_workers: number of workers; each evaluates one shard at a time.
        shards_in_flight: maximum number of shards that a worker holds, including the one in work.
        driver: costs of the driver.
        worker: costs of each worker.
        wire_seconds: time from sending to receiving, in either direction; any number of messages travel at once.
        speed: evaluation speed of a worker relative to the measurement; overheads do not change.
        losses_per_worker_hour: rate of lost workers; a new one replaces each at once.
    """

    num_workers: int
    shards_in_flight: int = 2
    driver: DriverCosts = field(default_factory=DriverCosts)
    worker: WorkerCosts = field(default_factory=WorkerCosts)
    wire_seconds: float = 0.0
    speed: float = 1.0
    losses_per_worker_hour: float = 0.0

    def __post_init__(self) -> None:
        """Raises ClusterError."""
        for name in ("num_workers", "shards_in_flight"):
            if getattr(self, name) < 1:
                raise ClusterError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ClusterError(f"speed is {self.speed}; expected a finite number above 0")
        for name in ("wire_seconds", "losses_per_worker_hour"):
            _check_not_negative(name, getattr(self, name))


def load_costs(path: Path) -> tuple[DriverCosts, WorkerCosts]:
    """Reads measured costs: a JSON object with ``driver`` and ``worker``, whose fields are those of the classes.

    Raises:
        ClusterError: the file has another form.
    """
    try:
        figures: dict[str, Any] = json.loads(path.read_text())
        return DriverCosts(**figures["driver"]), WorkerCosts(**figures["worker"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{path}: no costs ({error}); expected a JSON object with 'driver' and 'worker'"
        ) from error


def _check_seconds(owner: str, costs: DriverCosts | WorkerCosts) -> None:
    for name, value in dataclasses.asdict(costs).items():
        _check_not_negative(f"{owner} {name}", value)


def _check_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ClusterError(f"{name} is {value}; expected a finite number, 0 or more")
