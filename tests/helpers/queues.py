"""Requests that fill a server's queue."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

SMALL: dict[str, Any] = {"queries": [{"head": "anna", "relation": "ancestor", "tail": "Zoë"}]}


LARGE: dict[str, Any] = {"queries": SMALL["queries"] * 4000, "corruptions": "all", "pruning": "none"}
"""Takes half a minute or more: nobody waits for its end."""


def queued(client: httpx.Client) -> float:
    """How many candidates wait or run."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "proofrank_queued_candidates"
    )


def wait_for_queue(client: httpx.Client, *, is_empty: bool) -> None:
    """Returns once candidates wait or run, or once none does."""
    ends = time.monotonic() + 300
    while (queued(client) == 0) != is_empty:
        assert time.monotonic() < ends
        time.sleep(0.01)


def send_large(url: str, behind: bytes = b"") -> socket.socket:
    """Sends the large request, and at once what comes ``behind`` it; its connection."""
    request = httpx.Request("POST", f"{url}/rank", json=LARGE)
    parsed = httpx.URL(url)
    connection = socket.create_connection((parsed.host, parsed.port or 0), timeout=60)
    head = f"POST /rank HTTP/1.1\r\nHost: {parsed.host}\r\nContent-Type: application/json\r\n"
    connection.sendall(
        f"{head}Content-Length: {len(request.content)}\r\n\r\n".encode() + request.content + behind
    )
    return connection
