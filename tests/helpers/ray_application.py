"""The service on Ray Serve with a client, and clients that ask it without pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from load.ray_process import RayServeProcess
from tests.helpers.waiting import PATIENCE


class RayApplication(RayServeProcess):
    """The service on a local Ray; a context manager that ends both.

    Attributes:
        client: client of the service.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        ranker: Mapping[str, Any] | None = None,
        lease_seconds: float = 4.0,
        num_cpus: int = 2,
    ) -> None:
        """Starts the service with short leases, so that a test can wait for their end."""
        super().__init__(settings, lease_seconds=lease_seconds, ranker=ranker, num_cpus=num_cpus)
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Returns the samples on the page of metrics, by name and labels."""
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples

    def by_replica(self, name: str) -> dict[str, float]:
        """Returns the samples of a metric whose only label is ``replica``."""
        return {dict(labels)["replica"]: value for labels, value in self.metrics().get(name, {}).items()}

    def live_policies(self) -> dict[str, str]:
        """Returns replica -> name of the policy that it ranks by."""
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
    """A request, answered or not.

    Attributes:
        sent: time of sending by ``time.monotonic()``.
        received: time of the answer by the same clock.
        status: status of the answer; None if the connection broke.
        policy: policy that the answer names.
    """

    sent: float
    received: float
    status: int | None
    policy: str | None


@contextmanager
def asking(url: str, request: Mapping[str, Any], num_clients: int = 6) -> Iterator[list[Asked]]:
    """Runs ``num_clients`` clients that ask for ranks without pause; yields the list of all requests, complete at the
    end.
    """
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
