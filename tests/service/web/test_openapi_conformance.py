"""The server does what its OpenAPI document says, whatever is sent: statuses, content types, bodies, and never a fault.

Schemathesis makes the requests from the document, right ones and wrong ones, and compares the answers with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.serving import RunningServer, clean_environment

_LEFT_OUT = "positive_data_acceptance,not_a_server_error"
"""Checks that do not fit: which names there are depends on the graph that is served, so that not all that the schema
allows is accepted; and 500, 503 and 504 are documented answers here (:func:`check` looks for a 500 all the same)."""

_CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
"""As by default, and 413: a wrong body that is too large is refused before anybody looks for what is wrong."""


@pytest.fixture(scope="module")
def documented_server() -> Iterator[RunningServer]:
    """Serves the graph in the package, which the document's example is about."""
    with RunningServer(
        "--threads", "1", "--max-candidates", "20000", "--max-body-bytes", "200000"
    ) as running:
        yield running.wait_until_ready()


def run_schemathesis(
    server: RunningServer, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Compares the server with its document, one request after the other."""
    (folder / "schemathesis.toml").write_text(_CONFIGURATION)
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{server.url}/openapi.json"),
            *("--workers", "1", "--exclude-checks", _LEFT_OUT, "--continue-on-failure", "--warnings", "off"),
            *("--request-timeout", "60", "--exclude-path", "/sleep", *arguments),
        ],
        cwd=folder,  # where it keeps what it found
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def check(server: RunningServer, run: subprocess.CompletedProcess[str]) -> None:
    """Asserts that there was no failure, and that the server is none the worse for it."""
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Tested:" in run.stdout
    assert "fault in request" not in server.log
    metrics = server.client.get("/metrics").text
    assert re.search(r'duration_seconds_count{.*status="422"} [1-9]', metrics)
    assert not re.search(r'duration_seconds_count{.*status="500"} [1-9]', metrics)
    assert server.client.get("/readyz").status_code == 200


def test_the_answers_are_as_documented(documented_server: RunningServer, tmp_path: Path) -> None:
    run = run_schemathesis(
        documented_server,
        tmp_path,
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--generation-deterministic"),
    )

    check(documented_server, run)


@pytest.mark.slow
def test_the_answers_are_as_documented_in_many_more_cases_and_in_sequences(
    documented_server: RunningServer, tmp_path: Path
) -> None:
    run = run_schemathesis(
        documented_server, tmp_path, "--phases", "fuzzing,stateful", "--max-examples", "2000"
    )

    check(documented_server, run)
