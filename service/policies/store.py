"""Stored policies as names for content: files and database, changed together. Every call waits for the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import PolicyError
from proofrank.core.policy import Policy
from proofrank.service.errors import PolicyInUse, PolicyReplaced, TooManyPolicies
from proofrank.service.policies import records
from proofrank.service.policies.policy_files import PolicyFiles, num_bytes
from proofrank.service.policies.records import LivePolicy, PolicyRecord
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.storage.database import Database

ContentUser = Callable[[sqlite3.Connection], Collection[str]]
"""Gives the content hashes of the policies that unfinished work needs."""


@dataclass(frozen=True)
class Put:
    """What became of a policy that was put into the store.

    Attributes:
        record: as it is stored.
        is_new: whether the name had not existed.
    """

    record: PolicyRecord
    is_new: bool


class PolicyStore:
    """The policies in a data folder.

    Content that no name, no unfinished work and not the live policy needs is removed at once; content that a crash
    kept from being removed, at the next start.
    """

    def __init__(self, data_folder: Path, database: Database, max_policies: int) -> None:
        self.files = PolicyFiles(data_folder)
        self._database = database
        self._max_policies = max_policies
        self._users: list[ContentUser] = []
        # Else content may be removed between its move into place and the writing of its name.
        self._turn = threading.Lock()

    def add_user(self, user: ContentUser) -> None:
        """Asks ``user``, too, before a policy or its content is removed."""
        self._users.append(user)

    def records(self) -> list[PolicyRecord]:
        """All policies, by name."""
        return self._database.transact(records.all_records)

    def find(self, name: str) -> PolicyRecord | None:
        """The policy of this name."""
        return self._database.transact(lambda connection: records.find(connection, name))

    def required(self, name: str) -> PolicyRecord:
        """The policy of this name. Raises NoSuchPolicy where there is none."""
        return self._database.transact(lambda connection: records.required(connection, name))

    def live(self) -> LivePolicy | None:
        """The live policy, or None before the first start."""
        return self._database.transact(records.live)

    def configured_hash(self) -> str | None:
        """What the setting ``policy`` held when it was last registered."""
        return self._database.transact(records.configured_hash)

    def load(self, name: str, content_hash: str) -> Policy:
        """The policy with this content, under ``name``.

        Raises:
            PolicyError: it is not there, or is damaged.
        """
        try:
            return self.files.load(name, content_hash)
        except PolicyError as error:
            raise PolicyError(f"the stored policy {name!r} cannot be used: {error}") from error

    def check_room(self, name: str) -> None:
        """Raises TooManyPolicies where ``name`` would be one too many."""
        self._database.transact(lambda connection: self._check_room(connection, name))

    def put(self, folder: Path, policy: Policy, *, live: bool = False, configured: bool = False) -> Put:
        """Moves a policy that has been checked into the store, under its name.

        Args:
            folder: holds its files; gone afterwards.
            policy: loaded from there.
            live: have it live from now on.
            configured: note that this is what the setting ``policy`` holds; it is taken over any limit.

        Raises:
            TooManyPolicies: there is no place for another one.
            DataFolderFullError: there is no room for it.
        """
        size = num_bytes(folder)

        def write(connection: sqlite3.Connection) -> Put:
            before = records.find(connection, policy.name)
            if not configured:
                self._check_room(connection, policy.name)
            records.write(connection, policy.name, policy.content_hash, size)
            if live:
                records.write_live(connection, policy.name, policy.content_hash)
            if configured:
                records.write_configured_hash(connection, policy.content_hash)
            record = records.find(connection, policy.name)
            assert record is not None
            return Put(record, is_new=before is None)

        with self._turn, disk_full_as_error():
            try:
                self.files.place(folder, policy.content_hash)
                return self._database.transact(write)
            finally:
                self._collect()

    def make_live(self, policy: Policy) -> PolicyRecord:
        """Has the content that ``policy`` was loaded from live from now on.

        Raises:
            NoSuchPolicy: its name is not there any more.
            PolicyReplaced: its name has got other content.
        """

        def write(connection: sqlite3.Connection) -> PolicyRecord:
            if records.required(connection, policy.name).sha256 != policy.content_hash:
                raise PolicyReplaced(f"policy {policy.name!r} has just been replaced")
            records.write_live(connection, policy.name, policy.content_hash)
            return records.required(connection, policy.name)

        with self._turn, disk_full_as_error():
            record = self._database.transact(write)
            self._collect()
            return record

    def delete(self, name: str) -> None:
        """Removes a policy.

        Raises:
            NoSuchPolicy: there is none of this name.
            PolicyInUse: it is live, or unfinished work needs it.
        """

        def remove(connection: sqlite3.Connection) -> None:
            record = records.required(connection, name)
            live = records.live(connection)
            if live is not None and live.name == name:
                raise PolicyInUse(f"policy {name!r} is live; activate another one first")
            if any(record.sha256 in user(connection) for user in self._users):
                raise PolicyInUse(f"policy {name!r} is needed by a job that has not ended")
            records.remove(connection, name)

        with self._turn, disk_full_as_error():
            self._database.transact(remove)
            self._collect()

    def sweep(self) -> None:
        """Removes what a crash has left. Only at start, before anything is received."""
        with self._turn:
            self.files.sweep()
            self._collect()

    def _check_room(self, connection: sqlite3.Connection, name: str) -> None:
        names = {record.name for record in records.all_records(connection)}
        if name not in names and len(names) >= self._max_policies:
            raise TooManyPolicies(
                f"there are {len(names)} policies, and max_policies is {self._max_policies}; delete one first",
            )

    def _collect(self) -> None:
        def needed(connection: sqlite3.Connection) -> set[str]:
            live = records.live(connection)
            return {
                *(record.sha256 for record in records.all_records(connection)),
                *(() if live is None else (live.sha256,)),
                *(content_hash for user in self._users for content_hash in user(connection)),
            }

        self.files.keep(self._database.transact(needed))
