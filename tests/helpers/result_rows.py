"""Reads what ``proofrank evaluate --results`` writes, as a user's program would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet

SUFFIXES = (".jsonl", ".parquet")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of results, without the time that they took."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def has_rows(path: Path) -> bool:
    """Whether a run has written its first shard to a file of results that it has opened, or will open."""
    if path.suffix == ".parquet":
        return any(path.glob("queries-*"))
    return path.exists() and path.stat().st_size > 0


def place(row: dict[str, Any]) -> tuple[int, str]:
    """By which rows are put in order."""
    return row["query_index"], row["side"]
