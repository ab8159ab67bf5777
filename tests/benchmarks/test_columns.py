"""The program that measures the cost around the proofs runs, and the same request has the same answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.columns import measure
from benchmarks.instant import NUM_CONSTANTS, chain_and_policy


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux' /proc")
def test_a_request_is_measured_part_by_part(tmp_path: Path) -> None:
    dataset, policy = chain_and_policy(tmp_path / "chain")

    first, second = (measure(dataset, policy, 2) for _ in range(2))

    assert first["candidates"] == 2 * NUM_CONSTANTS
    assert [part["part"] for part in first["parts"]][-1] == "all"
    assert first["answer"] == second["answer"]
