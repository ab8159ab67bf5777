"""Jobs as versions from before pruning have stored them."""

from __future__ import annotations

import sqlite3


def insert_older_jobs(connection: sqlite3.Connection) -> None:
    """A job with a query done, and one that has not begun."""
    for number, job_id, done in ((1, "begun", 1), (2, "waiting", 0)):
        connection.execute(
            "INSERT INTO jobs (number, id, body_sha256, state, created, policy_name, policy_sha256, dataset_name, "
            "dataset_sha256, options, num_queries, queries_done, num_candidates, candidates_done) "
            "VALUES (?, ?, '0', 'running', '2026-01-31T12:00:00.000Z', 'p', '0', 'd', '0', ?, 2, ?, 20, ?)",
            (number, job_id, '{"split": "test"}', done, 10 * done),
        )
    connection.execute(
        "INSERT INTO rankings VALUES (1, 0, 'tail', 'a', 'r', 'b', 1, 1.0, 1, 1, 10, -1.0, -1.0, 1, 3, 4, 0.5)"
    )
