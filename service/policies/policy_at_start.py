"""Chooses the live policy at the start: the one activated last, or that of the setting ``policy`` if it is new.

An operator who puts other content into the folder of the setting wants it served. An operator who only restarts the
server wants what was served before. If that cannot be served now, a server with the policy of the setting, which says
so, is of more use than none.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from proofrank.core.choices import untrained_name, untrained_seed
from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, save_untrained
from proofrank.core.policy.files import policy_paths, read_whole
from proofrank.service.policies.policy_files import ALL_PARTS, HYBRID, load_named
from proofrank.service.policies.store import PolicyStore
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import MAX_POLICY_NAME_LENGTH, NotRestored

logger = logging.getLogger("proofrank")


class PolicyAtStart:
    """The policy to go live with. Every call waits for the disk.

    Attributes:
        dataset_sha256: hash of the graph for which the policy was chosen; None before that.
        not_restored: the policy that was live before the start and could not be brought back; None if there is none,
            or once a client has activated a policy.
    """

    def __init__(self, store: PolicyStore, configured: Path, metrics: ServiceMetrics) -> None:
        """Args:
        store: stored policies.
        configured: checkpoint folder of the setting, or ``untrained`` or ``untrained:SEED``.
        metrics: shows the names of the policies, and whether one was not brought back.
        """
        self._store = store
        self._configured = configured
        self._metrics = metrics
        self._activated: Policy | None = None
        self._folder_instead: Path | None = None
        self.dataset_sha256: str | None = None
        self.not_restored: NotRestored | None = None

    def first(self, dataset: Dataset) -> Policy:
        """Registers the policy of the setting under its folder's name, and returns the policy to go live with.

        Args:
            dataset: graph that the policy must fit. What a crash has left in the store is removed.

        Raises:
            PolicyError: the setting's policy cannot be used.
            DataFolderFullError: there is no room for its copy.
        """
        self._store.sweep()
        policy = self._choose(dataset)
        self._show_names()
        self.dataset_sha256 = dataset.content_hash
        return policy

    def instead(self, dataset: Dataset) -> Policy | None:
        """Returns the policy of the setting, if :meth:`first` has chosen another one; else None.

        Nothing changes before :meth:`give_way`. Raises as :meth:`first` does.
        """
        if self._activated is None:
            return None
        self._folder_instead = self._store.files.new_folder()
        return self._read_configured(self._folder_instead, dataset)

    def give_way(self, instead: Policy, reason: str) -> None:
        """Makes the policy that :meth:`instead` has returned live in place of the one activated last.

        Args:
            instead: the policy.
            reason: why no evaluator can be made for the one activated last.

        Raises:
            DataFolderFullError: there is no room for its copy.
        """
        assert self._activated is not None and self._folder_instead is not None
        self._store.put(self._folder_instead, instead, live=True, configured=True)
        self._show_names()
        self._note(NotRestored(self._activated.name, self._activated.content_hash, reason))
        self._activated = None
        _told(instead, "the policy that was activated last cannot be served")

    def forget(self) -> None:
        """Notes that a client has activated a policy, so that it no longer matters what was live before."""
        self.not_restored = None
        self._metrics.policy_not_restored.set(0)

    def _choose(self, dataset: Dataset) -> Policy:
        store = self._store
        folder = store.files.new_folder()
        try:
            policy = self._read_configured(folder, dataset)
            if policy.content_hash != store.configured_hash():
                store.put(folder, policy, live=True, configured=True)
                return _told(policy, "the setting policy has other content than at the last start, or is new")
            live = store.live()
            try:
                activated = _activated_last(store, dataset)
            except PolicyError as error:
                store.put(folder, policy, live=True, configured=True)
                if live is not None:
                    self._note(NotRestored(live.name, live.sha256, str(error)))
                return _told(policy, "the policy that was activated last cannot be used")
            if store.find(policy.name) is None:
                store.put(folder, policy, configured=True)
            if activated.content_hash != policy.content_hash:
                self._activated = activated
            return _told(activated, "it was activated last")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read_configured(self, folder: Path, dataset: Dataset) -> Policy:
        """Copies the policy of the setting into ``folder``, and loads it from there."""
        seed = untrained_seed(self._configured)
        if seed is None:
            _copy_checkpoint(self._configured, folder)
        else:
            with disk_full_as_error():
                save_untrained(folder, dataset, seed)
        policy = load_named(folder, policy_name(self._configured), shown_as=str(self._configured))
        policy.check_fits(dataset)
        return policy

    def _note(self, policy: NotRestored) -> None:
        logger.error(
            "policy %s (%s), which was activated last, is not live: %s; back to the policy of the setting",
            policy.name,
            policy.sha256,
            policy.reason,
        )
        self.not_restored = policy
        self._metrics.policy_not_restored.set(1)

    def _show_names(self) -> None:
        self._metrics.keep_policies({record.name for record in self._store.records()})


def policy_name(folder: Path) -> str:
    """Returns the name under which a checkpoint folder is registered: its own, with ``-`` for forbidden characters."""
    seed = untrained_seed(folder)
    if seed is not None:
        return untrained_name(seed)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).lstrip("._-")
    return name[:MAX_POLICY_NAME_LENGTH] or "policy"


def _activated_last(store: PolicyStore, dataset: Dataset) -> Policy:
    live = store.live()
    if live is None:
        raise PolicyError("no policy was activated")
    policy = store.load(live.name, live.sha256)
    policy.check_fits(dataset)
    return policy


def _told(policy: Policy, reason: str) -> Policy:
    logger.info("policy %s (%s) is live: %s", policy.name, policy.content_hash, reason)
    return policy


def _copy_checkpoint(source: Path, target: Path) -> None:
    """Copies the files first, so that the checked files are stored even if a training job writes to ``source``."""
    if not source.is_dir():
        raise PolicyError(f"{source}: no such folder; expected a checkpoint folder with {ALL_PARTS[0].file}")
    contents = read_whole(source, lambda: _contents(source))
    with disk_full_as_error():
        for name, content in contents.items():
            (target / name).write_bytes(content)


def _contents(source: Path) -> dict[str, bytes]:
    """Returns name -> content of the files in a checkpoint folder, by our names. Raises PolicyError."""
    contents = {}
    for part, path in zip(ALL_PARTS, policy_paths(source), strict=True):
        if part is HYBRID and not path.exists():
            continue
        try:
            contents[part.file] = path.read_bytes()
        except OSError as error:
            raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    return contents
