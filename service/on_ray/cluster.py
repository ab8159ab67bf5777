"""Connects to a Ray cluster, or starts one on this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from proofrank.core.errors import ProofrankError

_LOCAL = "local"
_NAMES = ("CPU", "GPU")
"""Ray's names of a worker's resources."""


class RayError(ProofrankError):
    """Ray is not installed, cannot be reached, or lacks what was asked for."""


class WorkerSize(NamedTuple):
    """The share of a machine that a worker gets.

    Attributes:
        cpus: number of cores.
        gpus: number of GPUs; may be a fraction.
    """

    cpus: float
    gpus: float


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connects this process to Ray while the context lasts.

    Args:
        address: address of a cluster, as for ``ray.init``; None to start one on this machine, which ends with the
            context.

    Raises:
        RayError: Ray is not installed, or there is no cluster at ``address``.
    """
    # Ray reads this when it is imported: no usage statistics are sent.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's core reports as an error to each program that it keeps workers alive.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None:
        # The cluster listens only on this machine; its workers would merely have to find the token again.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RayError(f"--on ray needs {error.name}: pip install 'proofrank[ray]'") from error
    try:
        if address is None:
            ray.init(_LOCAL, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RayError(f"--address {address}: no Ray cluster can be reached there: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def fitting_workers(machines: Sequence[Mapping[str, float]], size: WorkerSize) -> int:
    """Returns the number of workers of ``size`` that fit into the cluster.

    Args:
        machines: resources of each machine, by Ray's names.
        size: size of a worker.

    Raises:
        RayError: no such worker fits.
    """
    number = sum(_fitting_on(machine, size) for machine in machines)
    if number < 1:
        largest = {
            name: max((machine.get(name, 0.0) for machine in machines), default=0.0) for name in _NAMES
        }
        raise RayError(
            f"a worker of --worker-cpus {size.cpus:g} and --worker-gpus {size.gpus:g} does not fit into the "
            f"cluster, whose machines have {largest['CPU']:g} CPUs and {largest['GPU']:g} GPUs at most"
        )
    return number


def _fitting_on(machine: Mapping[str, float], size: WorkerSize) -> int:
    shares = [
        machine.get(name, 0.0) / needed for name, needed in zip(_NAMES, size, strict=True) if needed > 0
    ]
    return int(min(shares)) if shares else 0
