"""The service on Ray Serve with a client of its own, and clients who ask it without pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from load.ray_process import RayServeProcess

_PATIENCE = 300.0
"""Seconds until something that does not happen counts as broken; never waited in full."""


def wait_until(is_so: Callable[[], Any], what: str, patience: float = _PATIENCE) -> None:
    """Returns once ``is_so`` gives something true."""
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


class RayApplication(RayServeProcess):
    """The service on a local Ray; a context manager that ends both.

    Attributes:
        client: speaks to the service.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        ranker: Mapping[str, Any] | None = None,
        lease_seconds: float = 4.0,
        num_cpus: int = 2,
    ) -> None:
        """As of the base; leases are short, for a test to wait for their end."""
        super().__init__(settings, lease_seconds=lease_seconds, ranker=ranker, num_cpus=num_cpus)
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """The samples on the page of metrics, by name and labels."""
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples

    def by_replica(self, name: str) -> dict[str, float]:
        """The samples of a metric that has no other label than ``replica``."""
        return {dict(labels)["replica"]: value for labels, value in self.metrics().get(name, {}).items()}

    def live_policies(self) -> dict[str, str]:
        """Replica -> name of the policy that it ranks by."""
        infos = map(dict, self.metrics()["proofrank_policy_info"])
        return {labels["replica"]: labels["policy"] for labels in infos}

    def __enter__(self) -> RayApplication:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        super().__exit__(kind, error, trace)


class Asked(NamedTuple):
    """A request that was answered or not.

    Attributes:
        sent: by ``time.monotonic()``.
        received: by the same.
        status: None where the connection broke.
        policy: that the answer names.
    """

    sent: float
    received: float
    status: int | None
    policy: str | None


@contextmanager
def asking(url: str, request: Mapping[str, Any], num_clients: int = 6) -> Iterator[list[Asked]]:
    """Has so many clients ask for ranks, each as soon as it is answered; all answers are there at the end."""
    asked: list[Asked] = []
    has_ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            while not has_ended.is_set():
                sent = time.monotonic()
                try:
                    answer = client.post("/rank", json=request)
                except httpx.TransportError:
                    asked.append(Asked(sent, time.monotonic(), None, None))
                    continue
                policy = answer.json()["policy"]["name"] if answer.status_code == 200 else None
                asked.append(Asked(sent, time.monotonic(), answer.status_code, policy))

    threads = [threading.Thread(target=ask) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()
