"""The folders ``policies/<sha256>`` of stored policies, whose content never changes.

A folder gets this name by one rename, after all of its content is on the disk. A policy is there completely or not at
all.
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
from proofrank.core.hybrid import HYBRID_FILE, Hybrid, read_hybrid
from proofrank.core.policy import Policy, load_policy
from proofrank.core.policy.files import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from proofrank.service.storage.data_folder import sync_folder


class Part(NamedTuple):
    """One file of a policy.

    Attributes:
        field: name in the API.
        file: name in a checkpoint folder.
    """

    field: str
    file: str


WEIGHTS = Part("weights", WEIGHTS_FILE)
CONFIG = Part("config", CONFIG_FILE)
VOCABULARY = Part("vocabulary", VOCABULARY_FILE)
PARTS = (WEIGHTS, CONFIG, VOCABULARY)
"""Files that every policy has."""
HYBRID = Part("hybrid", HYBRID_FILE)
"""Weights of hybrid scores, which a policy may have."""
ALL_PARTS = (*PARTS, HYBRID)
CHECKPOINT = Part("checkpoint", "checkpoint")
FACTS = Part("facts", "facts.json")


class PolicyFiles:
    """The folders of policies in one data folder."""

    def __init__(self, data_folder: Path) -> None:
        self._policies = data_folder / "policies"
        self._incoming = data_folder / "incoming"
        for folder in (self._policies, self._incoming):
            folder.mkdir(mode=0o700, exist_ok=True)

    def new_folder(self) -> Path:
        """Makes an empty folder to receive a policy in; the next start removes it if it is still there."""
        return Path(tempfile.mkdtemp(dir=self._incoming))

    def place(self, folder: Path, content_hash: str) -> None:
        """Moves a complete, checked policy from ``folder`` to the folder of its content."""
        target = self._policies / content_hash
        own = _paths(folder)
        for path in own:
            _sync_file(path)
        sync_folder(folder)
        if target.is_dir():
            # A read error may have damaged the same content since; replaced file by file, it is complete at each step.
            for path in own:
                path.replace(target / path.name)
            sync_folder(target)
        else:
            folder.rename(target)
        sync_folder(self._policies)

    def load(self, name: str, content_hash: str) -> Policy:
        """Loads the stored policy with this content, under ``name``.

        Raises:
            PolicyError: it is not there, or its content has changed.
        """
        policy = load_named(self._policies / content_hash, name)
        if policy.content_hash != content_hash:
            raise PolicyError(f"its files have changed: they have SHA-256 {policy.content_hash}")
        return policy

    def read(self, content_hash: str) -> dict[str, bytes]:
        """Returns the files of the policy with this content, as name -> content, for another process to load.

        Raises:
            OSError: the files are not there.
        """
        return contents_of(self._policies / content_hash)

    def hybrid(self, content_hash: str) -> Hybrid | None:
        """Returns the weights of hybrid scores that are stored with the policy of this content; None without any.

        Raises:
            RankingError: their file is damaged.
        """
        path = self._policies / content_hash / HYBRID.file
        return read_hybrid(path) if path.exists() else None

    def keep(self, content_hashes: Collection[str]) -> None:
        """Removes all policies with other content than these."""
        for folder in self._policies.iterdir():
            if folder.name not in content_hashes:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what a server has left that was stopped while it received or stored a policy."""
        for folder in self._incoming.iterdir():
            shutil.rmtree(folder, ignore_errors=True)


def load_named(folder: Path, name: str, shown_as: str | None = None) -> Policy:
    """Loads a checkpoint under a name that may differ from its folder's.

    Args:
        folder: checkpoint folder.
        name: name of the policy.
        shown_as: what errors call the folder; by default they name only its files, because clients cannot use paths of
            the server.
    """
    try:
        policy = load_policy(folder)
    except PolicyError as error:
        text = str(error)
        text = text.replace(f"{folder}/", "" if shown_as is None else f"{shown_as}/")
        raise PolicyError(text.replace(str(folder), shown_as or "the stored policy"), error.file) from error
    return dataclasses.replace(policy, name=name)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Returns the files of the policy in ``folder``, as name -> content. Raises OSError."""
    return {path.name: path.read_bytes() for path in _paths(folder)}


def num_bytes(folder: Path) -> int:
    """Returns the size of a policy's files in bytes."""
    return sum(path.stat().st_size for path in _paths(folder))


def _paths(folder: Path) -> list[Path]:
    """The files of the policy in ``folder``, under our names."""
    without_hybrid = [folder / part.file for part in PARTS]
    hybrid = folder / HYBRID.file
    return [*without_hybrid, hybrid] if hybrid.exists() else without_hybrid


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
