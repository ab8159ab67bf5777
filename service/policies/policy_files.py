"""The folders of stored policies: ``policies/<sha256>`` each, never changed once they are there.

A folder gets its place by one rename, when all in it is on the disk: whatever happens, there is a whole policy or none.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from proofrank.core.errors import PolicyError
from proofrank.core.policy import Policy, load_policy
from proofrank.core.policy.checkpoint import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from proofrank.service.storage.data_folder import sync_folder


class Part(NamedTuple):
    """One file of a policy.

    Attributes:
        field: what the API calls it.
        file: what it is called in a checkpoint folder.
    """

    field: str
    file: str


WEIGHTS = Part("weights", WEIGHTS_FILE)
CONFIG = Part("config", CONFIG_FILE)
VOCABULARY = Part("vocabulary", VOCABULARY_FILE)
PARTS = (WEIGHTS, CONFIG, VOCABULARY)


class PolicyFiles:
    """The folders under one data folder."""

    def __init__(self, data_folder: Path) -> None:
        self._policies = data_folder / "policies"
        self._incoming = data_folder / "incoming"
        for folder in (self._policies, self._incoming):
            folder.mkdir(mode=0o700, exist_ok=True)

    def new_folder(self) -> Path:
        """An empty folder to gather a policy in; it is swept away at the next start if it is still there."""
        return Path(tempfile.mkdtemp(dir=self._incoming))

    def place(self, folder: Path, content_hash: str) -> None:
        """Moves a whole, checked policy from ``folder`` to where its content belongs."""
        target = self._policies / content_hash
        for part in PARTS:
            _sync_file(folder / part.file)
        sync_folder(folder)
        if target.is_dir():
            # The same content, which a read error may have damaged since: at each step it is whole.
            for part in PARTS:
                (folder / part.file).replace(target / part.file)
            sync_folder(target)
        else:
            folder.rename(target)
        sync_folder(self._policies)

    def load(self, name: str, content_hash: str) -> Policy:
        """The stored policy with this content, under ``name``.

        Raises:
            PolicyError: it is not there, or is not what was stored.
        """
        policy = load_named(self._policies / content_hash, name)
        if policy.content_hash != content_hash:
            raise PolicyError(f"its files have changed: they have SHA-256 {policy.content_hash}")
        return policy

    def read(self, content_hash: str) -> dict[str, bytes]:
        """The content of the files of the policy with this content, by name, for another process to load.

        Raises:
            OSError: they are not there.
        """
        folder = self._policies / content_hash
        return {part.file: (folder / part.file).read_bytes() for part in PARTS}

    def keep(self, content_hashes: Collection[str]) -> None:
        """Removes the policies with other content than these."""
        for folder in self._policies.iterdir():
            if folder.name not in content_hashes:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what a server that was stopped in the middle had not put in its place."""
        for folder in self._incoming.iterdir():
            shutil.rmtree(folder, ignore_errors=True)


def load_named(folder: Path, name: str, shown_as: str | None = None) -> Policy:
    """Loads a checkpoint under a name that is not its folder's.

    Args:
        folder: of the checkpoint.
        name: that it gets.
        shown_as: what errors call the folder; by default they name its files alone, for clients have no use for paths
            of the server.
    """
    try:
        policy = load_policy(folder)
    except PolicyError as error:
        text = str(error)
        text = text.replace(f"{folder}/", "" if shown_as is None else f"{shown_as}/")
        raise PolicyError(text.replace(str(folder), shown_as or "the stored policy"), error.file) from error
    return dataclasses.replace(policy, name=name)


def num_bytes(folder: Path) -> int:
    """The size of a policy's files."""
    return sum((folder / part.file).stat().st_size for part in PARTS)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
