"""Stored policies: names in the database and content in files, changed together. Every call waits for the disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proofrank.core.errors import PolicyError
from proofrank.core.policy import Policy
from proofrank.service.errors import PolicyInUse, PolicyReplaced, TooManyPolicies
from proofrank.service.policies import records
from proofrank.service.policies.policy_files import PolicyFiles, num_bytes
from proofrank.service.policies.records import NO_RUN, LivePolicy, PolicyRecord
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.storage.database import Database
from proofrank.service.wire import RunStep

logger = logging.getLogger("proofrank")

Result = TypeVar("Result")

ContentUser = Callable[[sqlite3.Connection], Collection[str]]
"""A function that returns the content hashes of the policies that unfinished work needs."""


@dataclass(frozen=True)
class Put:
    """The result of storing a policy.

    Attributes:
        record: the policy as stored.
        is_new: whether the name is new.
    """

    record: PolicyRecord
    is_new: bool


class PolicyStore:
    """The policies in a data folder.

    Content is removed as soon as no name and no unfinished work needs it and it is not live. If a crash prevents that,
    the next start removes it.
    """

    def __init__(self, data_folder: Path, database: Database, max_policies: int) -> None:
        self.files = PolicyFiles(data_folder)
        self._database = database
        self._max_policies = max_policies
        self._users: list[ContentUser] = []
        # Without it, content could be removed between its move into place and the writing of its name.
        self._turn = threading.Lock()

    def add_user(self, user: ContentUser) -> None:
        """Adds a function to ask before a policy or its content is removed."""
        self._users.append(user)

    async def call(self, read: Callable[[], Result]) -> Result:
        """Runs ``read``, a method of this store that is quick, in the database's own thread."""
        return await self._database.call(read)

    def records(self) -> list[PolicyRecord]:
        """Returns all policies, by name."""
        return self._database.transact(records.all_records)

    def find(self, name: str) -> PolicyRecord | None:
        """Returns the policy of this name; None if there is none."""
        return self._database.transact(lambda connection: records.find(connection, name))

    def required(self, name: str) -> PolicyRecord:
        """Returns the policy of this name. Raises NoSuchPolicy if there is none."""
        return self._database.transact(lambda connection: records.required(connection, name))

    def live(self) -> LivePolicy | None:
        """Returns the live policy; None before the first start."""
        return self._database.transact(records.live)

    def configured_hash(self) -> str | None:
        """Returns the hash of the setting ``policy`` when it was last registered."""
        return self._database.transact(records.configured_hash)

    def load(self, name: str, content_hash: str) -> Policy:
        """Loads the policy with this content, under ``name``.

        Raises:
            PolicyError: it is not there, or is damaged.
        """
        try:
            return self.files.load(name, content_hash)
        except PolicyError as error:
            raise PolicyError(f"the stored policy {name!r} cannot be used: {error}") from error

    def check_room(self, name: str) -> None:
        """Raises TooManyPolicies if ``name`` would exceed the maximum number."""
        self._database.transact(lambda connection: self._check_room(connection, name))

    def put(
        self,
        folder: Path,
        policy: Policy,
        *,
        live: bool = False,
        configured: bool = False,
        place: RunStep = NO_RUN,
    ) -> Put:
        """Moves a checked policy into the store, under its name.

        Args:
            folder: folder of its files, which is gone afterwards.
            policy: the policy, loaded from ``folder``.
            live: make it the live policy.
            configured: note that it is the content of the setting ``policy``; the maximum number does not apply to it.
            place: run, step and labels.

        Raises:
            TooManyPolicies: the maximum number of policies is reached.
            DataFolderFullError: there is no room for it.
        """
        size = num_bytes(folder)

        def write(connection: sqlite3.Connection) -> Put:
            before = records.find(connection, policy.name)
            if not configured:
                self._check_room(connection, policy.name)
            records.write(connection, policy.name, policy.content_hash, size, place)
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
        """Makes the content of ``policy`` live.

        Raises:
            NoSuchPolicy: its name was deleted.
            PolicyReplaced: its name has other content now.
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
            NoSuchPolicy: there is no policy of this name.
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
        """Removes what a crash has left. Call it only at the start, before anything is received."""
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
        """Removes content that nothing needs; where that fails, after a change that is made, the next one does."""

        def needed(connection: sqlite3.Connection) -> set[str]:
            live = records.live(connection)
            return {
                *(record.sha256 for record in records.all_records(connection)),
                *(() if live is None else (live.sha256,)),
                *(content_hash for user in self._users for content_hash in user(connection)),
            }

        try:
            self.files.keep(self._database.transact(needed))
        except (sqlite3.Error, OSError):
            logger.exception("content of policies that is no longer needed stays for now")
