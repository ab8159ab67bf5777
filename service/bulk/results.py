"""The results of an evaluation in a file, a row for each query and side, written as they come.

Columns are those of a job's results (:class:`service.jobs.results.ResultRow`) and ``seconds``, the row's share of the
time. The order is that in which shards were done; the sides of a query stand together.

``FILE.jsonl`` is one file, a JSON object a line. ``FILE.parquet`` is a folder of files, one for each shard, as Parquet
readers take it, for a Parquet file cannot grow. Beside either, ``FILE.run.json`` says which run it is of: the same run
goes on where it ended, and another is refused. A kill leaves whole queries, and perhaps a torn end that the next run
cuts off.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from core.errors import ProofrankError, shown
from core.ranking import RankingSummary, Ranks
from service.bulk.identity import Identity, first_difference
from service.jobs.job import StoredRanking
from service.jobs.results import RESULT_COLUMNS, result_row
from service.parquet import read_rows, require_pyarrow, write_rows

SUFFIXES = (".jsonl", ".parquet")
SECONDS = "seconds"


class ResultsError(ProofrankError):
    """A file of results cannot be used."""


class ResultsFile(ABC):
    """Rankings on disk; see the module."""

    def __init__(self, path: Path, ties: str, num_sides: int) -> None:
        self._path = path
        self._ties = ties
        self._num_sides = num_sides

    @abstractmethod
    def resume(self) -> list[StoredRanking]:
        """The rankings of the queries that are whole; what is torn is removed."""

    @abstractmethod
    def add(self, rankings: Sequence[StoredRanking]) -> None:
        """Writes the rankings of whole queries; they are on the disk afterwards."""

    def _row(self, ranking: StoredRanking) -> dict[str, Any]:
        return {**result_row(ranking, self._ties)._asdict(), SECONDS: ranking.summary.seconds}

    def _whole(self, rankings: Iterable[StoredRanking]) -> Iterator[list[StoredRanking]]:
        """The rankings query by query, without queries that lack a side."""
        for _, group in groupby(rankings, key=lambda ranking: ranking.summary.query_index):
            own = list(group)
            if len(own) == self._num_sides:
                yield own


class JsonLines(ResultsFile):
    """A file that grows by a line for each ranking."""

    def resume(self) -> list[StoredRanking]:
        """See :class:`ResultsFile`."""
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        rankings = [self._read(number, line) for number, line in enumerate(lines, 1)]
        whole = [ranking for own in self._whole(rankings) for ranking in own]
        # Rows are appended in order, so that only the end can be torn.
        if whole != rankings[: len(whole)]:
            raise ResultsError(
                f"--results {self._path}: a query in the middle lacks a side; expected a file as it was written"
            )
        os.truncate(self._path, sum(map(len, lines[: len(whole)])))
        return whole

    def _read(self, number: int, line: bytes) -> StoredRanking:
        try:
            return _ranking(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise ResultsError(
                f"--results {self._path}, line {number}: {shown(line.decode(errors='replace'))} is not a row of "
                "results; expected a file as it was written"
            ) from error

    def add(self, rankings: Sequence[StoredRanking]) -> None:
        """See :class:`ResultsFile`."""
        text = "".join(json.dumps(self._row(ranking), ensure_ascii=False) + "\n" for ranking in rankings)
        with self._path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


class ParquetParts(ResultsFile):
    """A folder that grows by a file for each shard."""

    def __init__(self, path: Path, ties: str, num_sides: int) -> None:
        require_pyarrow()
        super().__init__(path, ties, num_sides)
        self._path.mkdir(parents=True, exist_ok=True)

    def resume(self) -> list[StoredRanking]:
        """See :class:`ResultsFile`; a file is written whole or not at all."""
        rankings: list[StoredRanking] = []
        for path in sorted(self._path.glob("*.parquet")):
            try:
                rankings.extend(_ranking(row) for row in read_rows(path))
            except (ValueError, TypeError, KeyError, OSError) as error:
                raise ResultsError(f"--results {path}: not a file of results: {error}") from error
        return [ranking for own in self._whole(rankings) for ranking in own]

    def add(self, rankings: Sequence[StoredRanking]) -> None:
        """See :class:`ResultsFile`."""
        first, last = rankings[0].summary.query_index, rankings[-1].summary.query_index
        columns = {**RESULT_COLUMNS, SECONDS: float}
        rows = [self._row(ranking) for ranking in rankings]
        write_rows(self._path / f"queries-{first:09d}-{last:09d}.parquet", rows, columns)


def open_results(path: Path, identity: Identity, num_sides: int) -> ResultsFile:
    """The file of results at ``path``, new or of the same run.

    Args:
        path: ends in one of ``SUFFIXES``.
        identity: of the run; its ``ties`` say which rank counts.
        num_sides: rankings of each query.

    Raises:
        ResultsError: there are results of another run, or the file cannot be written.
    """
    kinds: Mapping[str, type[ResultsFile]] = dict(zip(SUFFIXES, (JsonLines, ParquetParts), strict=True))
    kind = kinds.get(path.suffix)
    if kind is None:
        raise ResultsError(f"--results {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    sidecar = path.with_name(f"{path.name}.run.json")
    try:
        if path.exists():
            _check_same_run(path, sidecar, identity)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            sidecar.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
            if kind is JsonLines:
                path.touch()
        return kind(path, identity["ties"], num_sides)
    except OSError as error:
        raise ResultsError(f"--results {path}: cannot be written: {error.strerror}") from error


def _check_same_run(path: Path, sidecar: Path, identity: Identity) -> None:
    try:
        there = json.loads(sidecar.read_text(encoding="utf-8"))
        difference = first_difference(identity, dict(there))
    except (OSError, ValueError, TypeError):
        raise ResultsError(
            f"--results {path}: exists, and {sidecar.name} does not say which run it is of; expected another name"
        ) from None
    if difference is not None:
        raise ResultsError(f"--results {path}: holds another run ({difference}); expected another name")


def _ranking(row: Mapping[str, Any]) -> StoredRanking:
    ranks = Ranks(
        row["rank_optimistic"],
        row["rank_realistic"],
        row["rank_pessimistic"],
        row["rank_random"],
        row["num_candidates"],
    )
    summary = RankingSummary(
        row["query_index"], row["side"], ranks, row["proved"], row["corruptions_proved"], row[SECONDS]
    )
    return StoredRanking(
        *(row["head"], row["relation"], row["tail"]),
        *(row["score"], row["log_probability"], row["steps"]),
        summary,
    )
