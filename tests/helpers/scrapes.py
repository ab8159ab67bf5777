"""Metrics as a server shows them."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""(name, labels in order) -> value."""


def scrape(client: httpx.Client) -> Samples:
    """Returns the samples of ``/metrics``."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def growth(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """Returns the growth of one sample."""
    key = (name, tuple(sorted(labels.items())))
    assert key in after, f"no {key} among {sorted(after)}"
    return after[key] - before.get(key, 0.0)
