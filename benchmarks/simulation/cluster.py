"""What surrounds the evaluation in a bulk run: the driver, the workers' start and overheads, the wire, the losses."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ClusterError(ValueError):
    """A cluster that cannot be; the message names the field, its value and what would be right."""


@dataclass(frozen=True)
class DriverCosts:
    """The driver's own time, all of it serial. In seconds.

    Attributes:
        start: from the command to the first worker asked for: imports, dataset, queries, connection.
        per_worker: asking for one worker.
        per_shard: making one shard and shipping it.
        per_query: of a shard, what each of its queries adds to that.
        per_result: taking back the result of one shard.
        per_row: of a result, what each of its queries adds to that.
        finish: from the last result to the end of the command: metrics and files.
        round: between two looks at what has come; 0 where the driver is woken by whatever comes.
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
    """A worker's own time besides the evaluation. In seconds.

    Attributes:
        start: from being asked for to being ready: process, imports, dataset, policy, evaluator, artifacts.
        per_shard: of one shard, besides its work: unpacking it, packing its result.
        per_query: of a shard, what each of its queries adds to that.
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
        num_workers: each evaluates one shard at a time.
        shards_in_flight: how many shards a worker may hold, the one in work included.
        driver: its costs.
        worker: the costs of each worker.
        wire_seconds: from the driver's sending to the worker's receiving, and back; any number travel at once.
        speed: how many times as fast as the measurement a worker evaluates; overheads are not changed by it.
        losses_per_worker_hour: rate at which workers are lost; a new one starts in the place of each at once.
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
    """Reads measured costs: a JSON object with ``driver`` and ``worker``, their fields as of the classes.

    Raises:
        ClusterError: the file is not such a one.
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
