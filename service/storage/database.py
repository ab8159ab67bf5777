"""The SQLite file in the data folder: its schema, and its transactions, one after the other, outside the event loop.

The journal is a write-ahead log. ``synchronous=FULL`` syncs it at each commit, so what a client was told is stored
survives a power cut. A commit costs a few milliseconds, which is little beside what it stores (an uploaded policy, a
chunk of a job).
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proofrank.service.storage.data_folder import DataFolderError

DATABASE_FILE = "proofrank.sqlite3"

MIGRATIONS: tuple[str, ...] = (
    # 1: names of policies, the live one, and the hash of the setting `policy` when it was last registered.
    """
    CREATE TABLE policies (
        name TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created TEXT NOT NULL
    );
    CREATE TABLE live_policy (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL
    );
    CREATE TABLE configured_policy (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        sha256 TEXT NOT NULL
    );
    """,
    # 2: jobs, and a row for each query that they have ranked on a side. The submitted queries are in a table of their
    # own, because an update of the progress rewrites its whole row.
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        idempotency_key TEXT UNIQUE,
        body_sha256 TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        created TEXT NOT NULL,
        started TEXT,
        finished TEXT,
        policy_name TEXT NOT NULL,
        policy_sha256 TEXT NOT NULL,
        dataset_name TEXT NOT NULL,
        dataset_sha256 TEXT NOT NULL,
        options TEXT NOT NULL,
        num_queries INTEGER NOT NULL,
        queries_done INTEGER NOT NULL DEFAULT 0,
        num_candidates INTEGER,
        candidates_done INTEGER NOT NULL DEFAULT 0,
        report TEXT,
        error TEXT
    );
    CREATE INDEX jobs_of_state ON jobs (state, number);
    CREATE TABLE job_queries (
        job INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
        queries TEXT NOT NULL
    );
    CREATE TABLE rankings (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        query_index INTEGER NOT NULL,
        side TEXT NOT NULL,
        head TEXT NOT NULL,
        relation TEXT NOT NULL,
        tail TEXT NOT NULL,
        optimistic INTEGER NOT NULL,
        realistic REAL NOT NULL,
        pessimistic INTEGER NOT NULL,
        random INTEGER NOT NULL,
        num_candidates INTEGER NOT NULL,
        score REAL NOT NULL,
        log_probability REAL NOT NULL,
        proved INTEGER NOT NULL,
        steps INTEGER NOT NULL,
        corruptions_proved INTEGER NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (job, query_index, side)
    ) WITHOUT ROWID;
    """,
    # 3: the run and step that a policy belongs to, with labels as a JSON object; a job has those of its policy.
    """
    ALTER TABLE policies ADD COLUMN run TEXT;
    ALTER TABLE policies ADD COLUMN step INTEGER;
    ALTER TABLE policies ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE jobs ADD COLUMN run TEXT;
    ALTER TABLE jobs ADD COLUMN step INTEGER;
    ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
    CREATE INDEX jobs_of_run ON jobs (run, step) WHERE run IS NOT NULL;
    """,
    # 4: what pruning leaves out. Before, every candidate was proved, and the steps that this took were not counted.
    """
    ALTER TABLE jobs ADD COLUMN candidates_unprovable INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN candidates_fallen_behind INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN trajectory_steps INTEGER;
    UPDATE jobs SET trajectory_steps = 0 WHERE queries_done = 0;
    ALTER TABLE rankings ADD COLUMN knows_proved INTEGER NOT NULL DEFAULT 1;
    """,
    # 5: jobs with `mrr_tolerance`: where each rank lies, and what a job goes on from, found out with `origin`. Their
    # `report` has intervals.
    """
    CREATE TABLE rank_intervals (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        query_index INTEGER NOT NULL,
        side TEXT NOT NULL,
        head TEXT NOT NULL,
        relation TEXT NOT NULL,
        tail TEXT NOT NULL,
        rank_low REAL NOT NULL,
        rank_high REAL NOT NULL,
        proved INTEGER,
        open INTEGER NOT NULL,
        num_candidates INTEGER NOT NULL,
        PRIMARY KEY (job, query_index, side)
    ) WITHOUT ROWID;
    CREATE TABLE job_states (
        job INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
        origin TEXT NOT NULL,
        state BLOB NOT NULL
    );
    """,
    # 6: what the scores of a job are, as JSON, null where they are those of proofs; the embedding's score of each
    # positive; and whether its candidates were to be proved.
    """
    ALTER TABLE jobs ADD COLUMN scoring TEXT;
    ALTER TABLE rankings ADD COLUMN embedding_score REAL;
    ALTER TABLE rankings ADD COLUMN tries_proofs INTEGER NOT NULL DEFAULT 1;
    """,
    # 7: the engine that a job has begun with, null before that and where nothing is proved.
    """
    ALTER TABLE jobs ADD COLUMN engine TEXT;
    """,
    # 8: the settings of the prover and the precision that a job has begun with, as JSON, null where its engine is.
    """
    ALTER TABLE jobs ADD COLUMN prover TEXT;
    """,
)
"""Scripts that update an older file, in order; the file's ``user_version`` counts those it has had. A released script
never changes; each change of the schema is a new script at the end.
"""

_PATIENCE_SECONDS = 10.0
_ROOM_TO_OPEN = 64 * 2**10
"""Bytes that opening the database takes for the files beside it."""

Result = TypeVar("Result")


class Database:
    """A connection that threads use one at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._turn = threading.Lock()
        # A thread of its own: workers that waited for their turn here would be missing for all other requests.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    @classmethod
    def open(cls, folder: Path, migrations: Sequence[str] = MIGRATIONS) -> Database:
        """Opens the file in ``folder``, or makes it, and updates its schema.

        Raises:
            DataFolderError: the file is no database, or has a newer schema, or cannot be written.
        """
        path = folder / DATABASE_FILE
        try:
            # Transactions begin and end explicitly here, not by the module's guesses.
            connection = sqlite3.connect(
                path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise DataFolderError(f"{path} cannot be opened: {error}") from error
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path, migrations)
            # Allocates the tables in the file while there is room.
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except sqlite3.Error as error:
            connection.close()
            # On a full disk, opening fails with any input or output error.
            is_full = shutil.disk_usage(folder).free < _ROOM_TO_OPEN
            reason = f"{error}, because the disk is full" if is_full else str(error)
            raise DataFolderError(f"{path} cannot be used: {reason}") from error
        except DataFolderError:
            connection.close()
            raise
        return cls(connection)

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs ``work`` as one transaction and returns its result; undoes it if ``work`` raises.

        Waits for other transactions and the disk; on the event loop, use :meth:`run`. On a full disk ``work`` runs a
        second time, so it must change nothing outside the database.
        """
        with self._turn:
            try:
                return self._attempt(work)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                # Moves the content of the log into the database, so that the log starts over in its own space.
                # Otherwise nothing could be deleted from a full disk.
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                return self._attempt(work)

    def _attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk may already have ended the transaction.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs :meth:`transact` in the database's own thread."""
        return await self.call(lambda: self.transact(work))

    async def call(self, function: Callable[[], Result]) -> Result:
        """Runs a ``function`` that makes transactions in the database's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        """Waits for the transactions that have begun or wait, and closes the file."""
        self._thread.shutdown()
        with self._turn:
            self._connection.close()


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise DataFolderError(
            f"{path} was written by a newer version of proofrank (schema {version}; this one knows up to "
            f"{len(migrations)})"
        )
    for number, script in enumerate(migrations[version:], start=version + 1):
        # In one transaction with its number, so that a crash leaves the file as before the script.
        connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
