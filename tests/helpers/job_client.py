"""Shared parts of the tests of jobs: queries for many chunks, and a client's usual steps."""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import Any

import httpx

_QUERIES = (
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
    {"head": "eva", "relation": "parent", "tail": "Zoë", "side": "tail"},
    {"head": "ben", "relation": "ancestor", "tail": "/m/08966", "side": "head"},
)
_PATIENCE = 300.0


def many_queries(number: int) -> list[dict[str, Any]]:
    """Makes ``number`` queries of about 12 candidates each; about 80 of them are ranked in a second."""
    return list(islice(cycle(_QUERIES), number))


def submit(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """Submits a job, which must be accepted."""
    answer = client.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def get(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Returns the job as it is now."""
    answer = client.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def with_progress(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Returns the job once some of its queries are done."""
    deadline = time.monotonic() + _PATIENCE
    while (job := get(client, job_id))["progress"]["queries_done"] == 0:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Returns the job once it has ended."""
    deadline = time.monotonic() + _PATIENCE
    while (job := get(client, job_id))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def results(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Returns the job's results."""
    answer = client.get(f"/jobs/{job_id}/results")
    assert answer.status_code == 200, answer.text
    return answer.json()
