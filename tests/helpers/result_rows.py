"""Reads the files of ``proofrank evaluate --results`` like a user's program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet

SUFFIXES = (".jsonl", ".parquet")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a file of results, without their times."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def has_rows(path: Path) -> bool:
    """Returns whether a run has written its first shard to its file of results, which may not exist yet."""
    if path.suffix == ".parquet":
        return any(path.glob("queries-*"))
    return path.exists() and path.stat().st_size > 0


def place(row: dict[str, Any]) -> tuple[int, str]:
    """Returns the key by which rows are ordered."""
    return row["query_index"], row["side"]
