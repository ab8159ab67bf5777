"""The rows of policies in the database. Each function runs inside the transaction of ``connection``."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proofrank.core.errors import did_you_mean, nearest_names
from proofrank.core.formats.times import write_time
from proofrank.service.errors import NoSuchPolicy
from proofrank.service.wire import RunStep

NO_RUN = RunStep()
"""Place of a policy that belongs to no run."""

_COLUMNS = """
    SELECT policies.name, policies.sha256, policies.bytes, policies.created, live_policy.name IS NOT NULL, run, step,
        labels
    FROM policies LEFT JOIN live_policy USING (name, sha256)
"""


@dataclass(frozen=True)
class PolicyRecord:
    """A name and its content.

    Attributes:
        name: name that the client chose.
        sha256: hash of the content.
        bytes: size of the files.
        created: time at which this content got the name.
        is_live: whether it ranks requests that begin now.
        place: run, step and labels.
    """

    name: str
    sha256: str
    bytes: int
    created: datetime
    is_live: bool
    place: RunStep


@dataclass(frozen=True)
class LivePolicy:
    """The policy that ranks requests that begin now. Its name may by now stand for other content, which is not live."""

    name: str
    sha256: str


def all_records(connection: sqlite3.Connection) -> list[PolicyRecord]:
    """Returns all policies, by name."""
    return [_record(row) for row in connection.execute(f"{_COLUMNS} ORDER BY policies.name")]


def find(connection: sqlite3.Connection, name: str) -> PolicyRecord | None:
    """Returns the policy of this name; None if there is none."""
    row = connection.execute(f"{_COLUMNS} WHERE policies.name = ?", (name,)).fetchone()
    return None if row is None else _record(row)


def required(connection: sqlite3.Connection, name: str) -> PolicyRecord:
    """Returns the policy of this name. Raises NoSuchPolicy, with the nearest names, if there is none."""
    record = find(connection, name)
    if record is None:
        nearest = nearest_names(name, (known.name for known in all_records(connection)))
        raise NoSuchPolicy(f"no policy is called {name!r}{did_you_mean(nearest)}")
    return record


def write(
    connection: sqlite3.Connection, name: str, sha256: str, num_bytes: int, place: RunStep = NO_RUN
) -> None:
    """Gives ``name`` this content and this place in a run; its time stays if it already has the content."""
    connection.execute(
        """
        INSERT INTO policies (name, sha256, bytes, created) VALUES (?, ?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, bytes = excluded.bytes, created = excluded.created
        WHERE sha256 <> excluded.sha256
        """,
        (name, sha256, num_bytes, write_time(datetime.now(UTC))),
    )
    connection.execute(
        "UPDATE policies SET run = ?, step = ?, labels = ? WHERE name = ?", (*place_columns(place), name)
    )


def place_columns(place: RunStep) -> tuple[str | None, int | None, str]:
    """Returns the values of the columns ``run``, ``step`` and ``labels``."""
    return place.run, place.step, json.dumps(place.labels, ensure_ascii=False)


def read_place(run: str | None, step: int | None, labels: str) -> RunStep:
    """Reads the columns ``run``, ``step`` and ``labels``."""
    return RunStep(run, step, json.loads(labels))


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Deletes a name."""
    connection.execute("DELETE FROM policies WHERE name = ?", (name,))


def live(connection: sqlite3.Connection) -> LivePolicy | None:
    """Returns the live policy; None before the first start."""
    row = connection.execute("SELECT name, sha256 FROM live_policy").fetchone()
    return None if row is None else LivePolicy(*row)


def write_live(connection: sqlite3.Connection, name: str, sha256: str) -> None:
    """Makes this policy the live one, also after a restart."""
    connection.execute("INSERT OR REPLACE INTO live_policy VALUES (1, ?, ?)", (name, sha256))


def configured_hash(connection: sqlite3.Connection) -> str | None:
    """Returns the hash of the setting ``policy`` when it was last registered."""
    row = connection.execute("SELECT sha256 FROM configured_policy").fetchone()
    return None if row is None else row[0]


def write_configured_hash(connection: sqlite3.Connection, sha256: str) -> None:
    """Stores the hash of the setting ``policy``."""
    connection.execute("INSERT OR REPLACE INTO configured_policy VALUES (1, ?)", (sha256,))


def _record(row: tuple[Any, ...]) -> PolicyRecord:
    name, sha256, size, created, is_live, *place = row
    created = datetime.fromisoformat(created)
    return PolicyRecord(name, sha256, size, created, bool(is_live), read_place(*place))
