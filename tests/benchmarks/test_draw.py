"""The picture of a benchmark run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

draw = pytest.importorskip("benchmarks.draw", reason="matplotlib is not installed", exc_type=ImportError).draw

PROFILE = {"tables": {"parts": [{"part": "score", "ms per tick": 0.2, "share %": 80.0},
                                {"part": "move", "ms per tick": 0.05, "share %": 20.0}]}}  # fmt: skip
SATURATION = {
    "tables": {
        "saturation": [
            {"mode": "reduce-overhead", "lanes": 64, "queries per second": 100.0},
            {"mode": "reduce-overhead", "lanes": 512, "queries per second": 600.0},
            {"mode": "reduce-overhead", "lanes": 4096, "left out": "EvaluationError: needs 99 GiB"},
        ]
    }
}


@pytest.mark.parametrize("stages", [{"profile": PROFILE, "saturation": SATURATION}, {}], ids=["all", "none"])
def test_a_png_is_drawn_of_what_was_measured_whatever_is_missing(
    tmp_path: Path, stages: dict[str, Any]
) -> None:
    figures, picture = tmp_path / "gpu.json", tmp_path / "folder" / "gpu.png"
    figures.write_text(json.dumps({"device": "cuda", "stages": stages}))

    draw(figures, picture)

    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    assert len(picture.read_bytes()) > 10_000
