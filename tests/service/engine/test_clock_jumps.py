"""A jump of the machine's clock, as when it is set or a virtual machine wakes, changes no time limit or duration.

libfaketime (Debian: ``faketime``) gives the server a clock that the test sets; the monotonic clock is not changed, as
in a real jump.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proofrank.service.policies.policy_files import PARTS
from tests.helpers.queues import LARGE, SMALL, queued
from tests.helpers.serving import RunningServer
from tests.helpers.waiting import PATIENCE

LIBRARY = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
JUMPS = ["+10d", "-20d", "+0"]
SECONDS_TO_JUMP = 1
"""Time until the server sees the new clock. Reading the clock file at each call would make the server very slow."""

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that sets the server's clock."""
    path = tmp_path_factory.mktemp("clock") / "offset"
    path.write_text("+0", encoding="ascii")
    return path


@pytest.fixture(scope="module")
def jumping_server(family_folder: Path, policy_folder: Path, clock: Path) -> Iterator[RunningServer]:
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": str(SECONDS_TO_JUMP),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--threads", "1"]
    with RunningServer(*arguments, environment=environment) as running:
        yield running.wait_until_ready()


def upload(client: httpx.Client, name: str, folder: Path) -> datetime:
    """Uploads a policy; returns the server's time of the upload."""
    files = {part.field: (folder / part.file).read_bytes() for part in PARTS}
    answer = client.put(f"/policies/{name}", files=files)
    assert answer.status_code == 201, answer.text
    return datetime.fromisoformat(answer.json()["created"])


def test_a_jump_of_the_clock_changes_no_deadline_no_duration_and_no_answer(
    jumping_server: RunningServer, clock: Path, policy_folder: Path
) -> None:
    client = jumping_server.client
    expected = client.post("/rank", json=SMALL).json()["queries"]

    for number, jump in enumerate(JUMPS):
        answers: list[tuple[int, float]] = []
        asking = threading.Thread(target=ask_with_deadline, args=(jumping_server.url, answers))
        asking.start()
        time.sleep(0.5)
        clock.write_text(jump, encoding="ascii")
        ends = time.monotonic() + PATIENCE
        for attempt in itertools.count():
            time.sleep(SECONDS_TO_JUMP / 2)
            created = upload(client, f"jump{number}-{attempt}", policy_folder)
            days = round((created - datetime.now(UTC)).total_seconds() / 86400)
            if f"{days:+d}d" == jump or (days, jump) == (0, "+0"):
                break
            assert time.monotonic() < ends, "the clock has not jumped"

        assert client.post("/rank", json=SMALL).json()["queries"] == expected
        asking.join()
        (status, seconds) = answers[0]
        assert status == 504
        # A deadline on the clock that jumps would be over at once, or in days.
        assert 3 <= seconds < PATIENCE
        assert queued(client) == 0

    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name.endswith("_seconds_sum"):
                assert 0 <= sample.value < 600, sample


def ask_with_deadline(url: str, answers: list[tuple[int, float]]) -> None:
    """Asks for more than can be done in three seconds, the deadline; appends the status and the seconds it took."""
    began = time.monotonic()
    answer = httpx.post(f"{url}/rank", json={**LARGE, "deadline_ms": 3000}, timeout=PATIENCE, trust_env=False)
    answers.append((answer.status_code, time.monotonic() - began))
