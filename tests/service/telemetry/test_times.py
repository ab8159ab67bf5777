"""Times have one form wherever they are shown: RFC 3339 in UTC, to the millisecond."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from proofrank.core.formats.times import rewrite_time, write_time
from proofrank.service.cli.main import main
from tests.helpers.serving import RunningServer

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ANY_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")


def times_in(value: Any) -> Iterator[str]:
    """Every text in it that begins as a time does."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from times_in(item)
    elif isinstance(value, str) and ANY_TIME.match(value):
        yield value


def test_answers_log_and_files_have_times_of_one_form(server: RunningServer, tmp_path: Path) -> None:
    client = server.client
    job_id = client.post("/jobs", json={"split": "test"}).json()["id"]
    while (job := client.get(f"/jobs/{job_id}").json())["state"] != "done":
        time.sleep(0.01)
    assert main(["rank", "--url", server.url, "--split", "test", "--json", str(tmp_path / "job.json")]) == 0
    shown = {
        "job": job,
        "jobs": client.get("/jobs").json(),
        "policies": client.get("/policies").json(),
        "file": json.loads((tmp_path / "job.json").read_text(encoding="utf-8")),
        "log": [json.loads(line) for line in server.log.splitlines() if line.startswith("{")],
    }
    for place, value in shown.items():
        times = list(times_in(value))
        assert times, place
        assert [found for found in times if not FORM.fullmatch(found)] == [], place
    assert len(list(times_in(job))) == 3


def test_a_time_of_any_zone_is_written_in_utc() -> None:
    at = datetime(2026, 11, 24, 12, 25, 26, 254_756, tzinfo=timezone(timedelta(hours=2)))
    assert write_time(at) == "2026-11-24T10:25:26.254Z"
    assert write_time(datetime(2026, 11, 24, tzinfo=UTC)) == "2026-11-24T00:00:00.000Z"
    # As earlier versions stored them.
    assert rewrite_time("2026-11-24T10:25:26.254+00:00") == "2026-11-24T10:25:26.254Z"
