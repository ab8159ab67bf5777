"""The measurement of what callbacks cost: results arrive within their turns, and costs are where they must be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.serving import REPOSITORY, clean_environment


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_what_a_callback_costs_is_measured_in_each_way(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    file = tmp_path / "cost.json"
    arguments = ["--cores", str(core), str(core), "--repeats", "2", "--epochs", "1", "--steps", "600"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.callback_cost", *arguments, "--json", str(file)],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "results came within the turns" in ended.stderr:
        pytest.skip("the machine is too busy for a turn")
    assert ended.returncode == 0, ended.stderr
    ways = json.loads(file.read_text())["ways"]
    beside = {name: way["beside"][0] for name, way in ways.items()}
    calls = {name: way["calls"] for name, way in ways.items()}
    assert calls["without evaluations"] == []
    # A thread does the work of the call that does all of it.
    assert beside["in process, at once"] < beside["server elsewhere"] < beside["in process, in a thread"]
    assert calls["in process, at once"][0] > calls["in process, in a thread"][0]
