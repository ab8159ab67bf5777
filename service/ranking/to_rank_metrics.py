"""From files of results to the metrics of their ranks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from proofrank.core.comparison import ComparisonError
from proofrank.core.rank_metrics import RANK_TYPES, RankMetrics
from proofrank.service.ranking.to_rankings import EXPECTED, rows_of_lines, rows_of_parts, telling_of
from proofrank.service.storage.parquet import read_rows

_CSV, _LINES, _PARQUET = ".csv", ".jsonl", ".parquet"


class StoredRanks(NamedTuple):
    """The ranks of a file, and what it says of them.

    Attributes:
        metrics: the ranks.
        protocol: how the evaluation ranks, by name; empty for a table that does not say.
    """

    metrics: RankMetrics
    protocol: Mapping[str, Any]


def read_rank_metrics(path: Path, rank_type: str | None = None) -> StoredRanks:
    """Reads the ranks of an evaluation, whole or not, that ``proofrank evaluate`` or a server has written.

    Args:
        path: path of ``FILE.jsonl`` or ``FILE.parquet`` of ``--results``, of a job's table (``.csv``, ``.parquet``), or
            of JSON with rankings.
        rank_type: type of rank that counts in a name without one; by default that of the evaluation's ties, and
            ``realistic`` for a table that does not say.

    Raises:
        ComparisonError: it is none of these; says what was expected.
        ProofrankError: it has no ranking, or a rank is not possible.
        ParquetMissingError: pyarrow is not installed.
    """
    if not path.exists():
        raise ComparisonError(f"{path}: no such file; {EXPECTED}")
    with telling_of(path):
        rows, protocol = _read(path)
        ties = protocol.get("ties", "realistic")
        return StoredRanks(RankMetrics.of(rows, ties if rank_type is None else rank_type), protocol)


def _read(path: Path) -> tuple[Iterable[Mapping[str, Any]], Mapping[str, Any]]:
    """The rows, and how they were ranked."""
    if path.suffix in (_LINES, _PARQUET):
        run_file = path.with_name(f"{path.name}.run.json")
        run = json.loads(run_file.read_bytes()) if run_file.is_file() else {}
        if path.suffix == _LINES:
            return rows_of_lines(path), run
        return (rows_of_parts(path) if path.is_dir() else read_rows(path)), run
    if path.suffix == _CSV:
        return map(_typed, csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))), {}
    content = json.loads(path.read_bytes())
    if isinstance(content, dict) and "job" in content:
        return map(_flat, content["rankings"]), content["job"]["request"]
    if isinstance(content, dict) and "results" in content:
        return content["results"], content["protocol"]
    raise ComparisonError(f"{path}: holds no rankings; {EXPECTED}")


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of a table of text."""
    numbers = (*(f"rank_{rank_type}" for rank_type in RANK_TYPES), "num_candidates")
    return {
        **row,
        **{name: float(row[name]) for name in numbers},
        "num_candidates": int(row["num_candidates"]),
    }


def _flat(ranking: Mapping[str, Any]) -> dict[str, Any]:
    """A ranking of a job as a row of a table."""
    ranks = ranking["ranks"]
    return {**ranking, **{f"rank_{rank_type}": ranks[rank_type] for rank_type in RANK_TYPES}}
