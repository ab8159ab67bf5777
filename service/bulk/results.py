"""The results of an evaluation in a file: one row for each query and side, written as they are done.

The columns are those of a job's results (:class:`service.jobs.results.ResultRow`) and ``seconds``, the row's share of
the time. Rows are in the order in which shards are done; the sides of a query are together.

``FILE.jsonl`` is one file with a JSON object on each line. ``FILE.parquet`` is a folder with a file for each shard, as
Parquet readers accept it, because a Parquet file cannot grow. Beside either, ``FILE.run.json`` identifies the run. The
same run resumes where it ended; another run is refused, and so is a second one at the same time. A kill leaves whole
queries, and perhaps a torn end that the next run cuts off.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from proofrank.core.errors import shown
from proofrank.core.ranking import RankingSummary, Ranks
from proofrank.service.bulk.identity import Identity
from proofrank.service.bulk.run_file import ResultsError, RunFile
from proofrank.service.jobs.job import StoredRanking
from proofrank.service.jobs.results import RESULT_COLUMNS, result_row
from proofrank.service.storage.data_folder import sync_folder
from proofrank.service.storage.parquet import read_rows, require_pyarrow, write_rows

SUFFIXES = (".jsonl", ".parquet")
SECONDS = "seconds"

_PARTS = "queries-*.parquet"
"""Pattern of the files in a folder of results."""


class ResultsFile(ABC):
    """Rankings on disk; see the module."""

    def __init__(
        self, path: Path, run_file: RunFile, ties: str, num_sides: int, tries_proofs: bool = True
    ) -> None:
        self._path = path
        self._run_file = run_file
        self._ties = ties
        self._num_sides = num_sides
        self._tries_proofs = tries_proofs

    def resume(self) -> list[StoredRanking]:
        """Returns the rankings of the complete queries, and removes what is torn.

        Raises:
            ResultsError: the file is not as a run leaves it, or cannot be read and written.
        """
        with _telling_system_errors_of(self._path):
            return self._resume()

    def add(self, rankings: Sequence[StoredRanking]) -> None:
        """Writes the rankings of whole queries; they are on the disk when it returns.

        Raises:
            ResultsError: they cannot be written; what remains of them is a torn end.
        """
        with _telling_system_errors_of(self._path):
            self._add(rankings)

    def noted_engine(self, engine: str) -> str:
        """Returns the engine that began the run. Without one noted, notes ``engine`` and returns it.

        Raises:
            ResultsError: it cannot be noted.
        """
        with _telling_system_errors_of(self._path):
            return self._run_file.noted_engine(engine)

    @abstractmethod
    def _resume(self) -> list[StoredRanking]:
        """Does the work of :meth:`resume`; also raises OSError."""

    @abstractmethod
    def _add(self, rankings: Sequence[StoredRanking]) -> None:
        """Does the work of :meth:`add`; raises OSError."""

    def _row(self, ranking: StoredRanking) -> dict[str, Any]:
        return {**result_row(ranking, self._ties)._asdict(), SECONDS: ranking.summary.seconds}

    def _whole(self, rankings: Iterable[StoredRanking]) -> Iterator[list[StoredRanking]]:
        """Yields the rankings query by query, without queries that lack a side."""
        for _, group in groupby(rankings, key=lambda ranking: ranking.summary.query_index):
            own = list(group)
            if len(own) == self._num_sides:
                yield own

    def _ranking(self, row: Mapping[str, Any]) -> StoredRanking:
        """The ranking of a row. Raises ValueError, TypeError or KeyError for what is none."""
        ranks = Ranks(
            row["rank_optimistic"],
            row["rank_realistic"],
            row["rank_pessimistic"],
            row["rank_random"],
            row["num_candidates"],
        )
        corruptions_proved = row["corruptions_proved"]
        summary = RankingSummary(
            *(row["query_index"], row["side"], ranks, row["proved"]),
            *(corruptions_proved or 0, row[SECONDS], corruptions_proved is not None),
            tries_proofs=self._tries_proofs,
        )
        return StoredRanking(
            *(row["head"], row["relation"], row["tail"]),
            *(row["score"], row["log_probability"], row["steps"]),
            summary,
            row.get("embedding_score"),
        )

    def _check_each_once(self, rankings: Iterable[StoredRanking]) -> None:
        """Refuses a file that holds a ranking twice."""
        places = Counter((ranking.summary.query_index, ranking.summary.side) for ranking in rankings)
        for (query_index, side), number in places.items():
            if number > 1:
                raise ResultsError(
                    f"--results {self._path}: query_index {query_index} occurs {number} times with side {side}; "
                    "expected once, as a single run writes it"
                )


class JsonLines(ResultsFile):
    """A file that grows by a line for each ranking."""

    def _resume(self) -> list[StoredRanking]:
        lines = self._path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        rankings = [self._read(number, line) for number, line in enumerate(lines, 1)]
        self._check_each_once(rankings)
        whole = [ranking for own in self._whole(rankings) for ranking in own]
        # Rows are appended in order, so only the end can be torn.
        if whole != rankings[: len(whole)]:
            raise ResultsError(
                f"--results {self._path}: a query in the middle lacks a side; expected a file as a run writes it"
            )
        os.truncate(self._path, sum(map(len, lines[: len(whole)])))
        return whole

    def _read(self, number: int, line: bytes) -> StoredRanking:
        try:
            return self._ranking(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise ResultsError(
                f"--results {self._path}, line {number}: {shown(line.decode(errors='replace'))} is not a row of "
                "results; expected a file as a run writes it"
            ) from error

    def _add(self, rankings: Sequence[StoredRanking]) -> None:
        text = "".join(json.dumps(self._row(ranking), ensure_ascii=False) + "\n" for ranking in rankings)
        with self._path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


class ParquetParts(ResultsFile):
    """A folder that grows by a file for each shard."""

    def _resume(self) -> list[StoredRanking]:
        # A file gets its name when it is complete. One that a kill has left without its name is proved again, even if
        # it is complete, because no reader of the folder would see it.
        for scratch in self._path.glob(f".{_PARTS}"):
            scratch.unlink()
        rankings: list[StoredRanking] = []
        for path in sorted(self._path.glob(_PARTS)):
            try:
                rankings.extend(self._ranking(row) for row in read_rows(path))
            except (ValueError, TypeError, KeyError, OSError) as error:
                raise ResultsError(f"--results {path}: not a file of results: {error}") from error
        self._check_each_once(rankings)
        return [ranking for own in self._whole(rankings) for ranking in own]

    def _add(self, rankings: Sequence[StoredRanking]) -> None:
        first, last = rankings[0].summary.query_index, rankings[-1].summary.query_index
        columns = {**RESULT_COLUMNS, SECONDS: float}
        rows = [self._row(ranking) for ranking in rankings]
        write_rows(self._path / f"queries-{first:09d}-{last:09d}.parquet", rows, columns)


@contextmanager
def open_results(path: Path, identity: Identity, num_sides: int) -> Iterator[ResultsFile]:
    """Opens the file of results at ``path``, new or of the same run; no other run can open it meanwhile.

    Args:
        path: path that ends in one of ``SUFFIXES``.
        identity: identity of the run; its ``ties`` say which rank counts.
        num_sides: number of rankings of each query.

    Raises:
        ResultsError: the results belong to another run, another run is writing them, or they cannot be written.
    """
    kinds: Mapping[str, type[ResultsFile]] = dict(zip(SUFFIXES, (JsonLines, ParquetParts), strict=True))
    kind = kinds.get(path.suffix)
    if kind is None:
        raise ResultsError(f"--results {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if kind is ParquetParts:
        require_pyarrow()
    with _telling_system_errors_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        run_file = RunFile.open(path)
    with closing(run_file):
        with _telling_system_errors_of(path):
            if path.exists():
                run_file.check_same_run(identity)
            else:
                run_file.begin(identity)
                # In this order: results exist only after the file that identifies their run.
                sync_folder(path.parent)
                if kind is JsonLines:
                    path.touch()
                else:
                    path.mkdir()
                sync_folder(path.parent)
        tries_proofs = identity.get("scoring") != "embedding"
        yield kind(path, run_file, identity["ties"], num_sides, tries_proofs)


@contextmanager
def _telling_system_errors_of(path: Path) -> Iterator[None]:
    """Turns an error of the system inside into a ResultsError."""
    try:
        yield
    except OSError as error:
        raise ResultsError(f"--results {path}: cannot be written: {error.strerror or error}") from error
