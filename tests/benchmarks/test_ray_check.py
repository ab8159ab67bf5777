"""The comparison of a run on Ray with one process, on made-up rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ray_check import DifferenceError, check_equal, rows_in_order

ROWS = [{"query_index": index, "side": side, "rank": 1.0} for index in (0, 1) for side in ("head", "tail")]


def test_the_order_and_the_times_of_rows_do_not_count(tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    timed = [{**row, "seconds": number / 10} for number, row in enumerate(reversed(ROWS))]
    results.write_text("".join(json.dumps(row) + "\n" for row in timed))

    check_equal(ROWS, rows_in_order(results))


@pytest.mark.parametrize(
    ("alone", "on_ray"),
    [
        ([*ROWS[:3], {**ROWS[3], "rank": 2.0}], ROWS),
        (ROWS, ROWS[:3]),
        (ROWS, [*ROWS, ROWS[3]]),
        ([], []),
    ],
)
def test_a_row_that_differs_or_lacks_fails_the_check(
    alone: list[dict[str, Any]], on_ray: list[dict[str, Any]]
) -> None:
    with pytest.raises(DifferenceError):
        check_equal(alone, on_ray)
