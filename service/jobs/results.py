"""The rankings of a job as JSON, CSV or Parquet, piece by piece, because they may not fit into memory."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple, get_args, get_type_hints

from proofrank.service.errors import JobRemovedError
from proofrank.service.jobs.job import Job, StoredRanking
from proofrank.service.jobs.store import JobStore
from proofrank.service.jobs.to_response import job_answer, ranking_answer
from proofrank.service.storage.parquet import require_pyarrow, schema_of
from proofrank.service.wire import JobOptions, JobRanking, JobRankInterval, answer_to_json

_QUERIES_A_PAGE = 1000


class ResultRow(NamedTuple):
    """A row of a table of results: one query on one side."""

    query_index: int
    head: str
    relation: str
    tail: str
    side: str
    rank: float
    rank_optimistic: int
    rank_realistic: float
    rank_pessimistic: int
    rank_random: int
    score: float
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int
    corruptions_proved: int | None
    embedding_score: float | None


RESULT_COLUMNS: Mapping[str, type] = {
    name: next(iter(get_args(kind)), kind) for name, kind in get_type_hints(ResultRow).items()
}
"""The type of each column, in which None may stand too where the row says so."""

INTERVAL_COLUMNS: Mapping[str, type] = {
    **{name: RESULT_COLUMNS[name] for name in ("query_index", "head", "relation", "tail", "side")},
    "rank_low": float,
    "rank_high": float,
    "proved": bool,
    "open": int,
    "num_candidates": int,
}
"""The same of a table of intervals, whose rows have the fields of :class:`JobRankInterval`."""


def result_row(ranking: StoredRanking, ties: str) -> ResultRow:
    """Returns the row of a stored ranking."""
    summary, ranks = ranking.summary, ranking.summary.ranks
    return ResultRow(
        *(summary.query_index, ranking.head, ranking.relation, ranking.tail, summary.side, ranks.by(ties)),
        *(ranks.optimistic, ranks.realistic, ranks.pessimistic, ranks.random),
        *(ranking.score, ranking.log_probability, summary.is_proved, ranking.steps),
        *(ranks.num_candidates, summary.corruptions_proved_if_known, ranking.embedding_score),
    )


def interval_row(ranking: JobRankInterval) -> tuple[Any, ...]:
    """Returns the row of a ranking whose rank lies in an interval."""
    return tuple(getattr(ranking, name) for name in INTERVAL_COLUMNS)


async def pages(job: Job, store: JobStore) -> AsyncIterator[list[StoredRanking]]:
    """Yields pages of rankings of the queries that ``job`` has done, in order.

    Raises:
        JobRemovedError: the job was removed meanwhile; a table that ended there would look complete.
    """
    for start in range(0, job.queries_done, _QUERIES_A_PAGE):
        page = await store.rankings(job, start, min(start + _QUERIES_A_PAGE, job.queries_done))
        if not page:
            raise JobRemovedError(job.id)
        yield page


async def interval_pages(job: Job, store: JobStore) -> AsyncIterator[list[JobRankInterval]]:
    """Yields pages of where the ranks of a job with ``mrr_tolerance`` lie, in order. Raises as :func:`pages` does."""
    num_stored = 0 if job.report_json is None else job.num_queries
    for start in range(0, num_stored, _QUERIES_A_PAGE):
        page = await store.intervals(job, start, start + _QUERIES_A_PAGE)
        if not page:
            raise JobRemovedError(job.id)
        yield page


async def json_pieces(job: Job, store: JobStore) -> AsyncIterator[bytes]:
    """Yields :class:`~proofrank.service.wire.JobResults` as JSON."""
    options = JobOptions.model_validate_json(job.options_json)
    has_intervals = options.mrr_tolerance is not None
    yield b'{"job":' + answer_to_json(job_answer(job))
    yield b',"rankings":[],"rank_intervals":[' if has_intervals else b',"rankings":['
    separator = b""
    if has_intervals:
        async for page in interval_pages(job, store):
            yield separator + await asyncio.to_thread(_joined, page)
            separator = b","
    else:
        async for page in pages(job, store):
            yield separator + await asyncio.to_thread(
                lambda page=page: _joined(ranking_answer(ranking, options.ties) for ranking in page)
            )
            separator = b","
    yield b"]}" if has_intervals else b'],"rank_intervals":null}'


def _joined(answers: Iterable[JobRanking | JobRankInterval]) -> bytes:
    return b",".join(map(answer_to_json, answers))


async def row_pages(job: Job, store: JobStore) -> AsyncIterator[list[tuple[Any, ...]]]:
    """Yields pages of the rows of a table of results, with the columns of :func:`columns_of`."""
    options = JobOptions.model_validate_json(job.options_json)
    if options.mrr_tolerance is not None:
        async for page in interval_pages(job, store):
            yield [interval_row(ranking) for ranking in page]
        return
    async for page in pages(job, store):
        yield [result_row(ranking, options.ties) for ranking in page]


def columns_of(job: Job) -> Mapping[str, type]:
    """The columns of the table of a job's results, with their types."""
    has_intervals = JobOptions.model_validate_json(job.options_json).mrr_tolerance is not None
    return INTERVAL_COLUMNS if has_intervals else RESULT_COLUMNS


async def csv_pieces(job: Job, store: JobStore) -> AsyncIterator[bytes]:
    """Yields a CSV table with a header, as in RFC 4180."""
    yield _csv([tuple(columns_of(job))])
    async for page in row_pages(job, store):
        yield await asyncio.to_thread(_csv, page)


def _csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def parquet_pieces(job: Job, store: JobStore) -> AsyncIterator[bytes]:
    """Yields a Parquet file with the columns of the CSV.

    Raises:
        ParquetMissingError: pyarrow is not installed.
    """
    arrow, parquet = require_pyarrow()
    return _parquet_pieces(job, store, arrow, parquet)


async def _parquet_pieces(job: Job, store: JobStore, arrow: Any, parquet: Any) -> AsyncIterator[bytes]:
    schema = schema_of(columns_of(job))
    pipe = _Pipe()
    writer = parquet.ParquetWriter(pipe, schema)

    def write(page: list[tuple[Any, ...]]) -> None:
        columns = [list(column) for column in zip(*page, strict=True)]
        writer.write_table(arrow.table(columns, schema=schema))

    async for page in row_pages(job, store):
        await asyncio.to_thread(write, page)
        yield pipe.taken()
    await asyncio.to_thread(writer.close)
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """A writable file whose new content can be taken out in between."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the number of bytes written."""
        return self._position

    def write(self, data: Any) -> int:
        """Keeps ``data`` until it is taken."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Returns what has been written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
