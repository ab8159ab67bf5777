"""Chooses the live policy at the start: the one activated last, or that of the setting ``policy`` if it is new.

An operator who puts other content into the folder of the setting wants it served. An operator who only restarts the
server wants what was served before.
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
from proofrank.core.policy.files import policy_paths
from proofrank.service.policies.policy_files import ALL_PARTS, HYBRID, load_named
from proofrank.service.policies.store import PolicyStore
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import MAX_POLICY_NAME_LENGTH

logger = logging.getLogger("proofrank")


def policy_at_start(
    store: PolicyStore, configured: Path, dataset: Dataset, metrics: ServiceMetrics
) -> Policy:
    """Registers the policy of the setting under its folder's name, and returns the policy to go live with.

    Args:
        store: stored policies; what a crash has left there is removed.
        configured: checkpoint folder of the setting, or ``untrained`` or ``untrained:SEED``.
        dataset: graph that the policy must fit.
        metrics: shows the names of the policies.

    Raises:
        PolicyError: the setting's policy cannot be used.
        DataFolderFullError: there is no room for its copy.
    """
    store.sweep()
    policy = _choose(store, configured, dataset)
    metrics.keep_policies({record.name for record in store.records()})
    return policy


def _choose(store: PolicyStore, configured: Path, dataset: Dataset) -> Policy:
    folder = store.files.new_folder()
    try:
        seed = untrained_seed(configured)
        if seed is None:
            _copy_checkpoint(configured, folder)
        else:
            with disk_full_as_error():
                save_untrained(folder, dataset, seed)
        policy = load_named(folder, policy_name(configured), shown_as=str(configured))
        policy.check_fits(dataset)
        if policy.content_hash != store.configured_hash():
            store.put(folder, policy, live=True, configured=True)
            return _told(policy, "the setting policy has other content than at the last start, or is new")
        try:
            live = _activated_last(store, dataset)
        except PolicyError as error:
            logger.error("%s; back to the policy of the setting", error)
            store.put(folder, policy, live=True, configured=True)
            return _told(policy, "the policy that was activated last cannot be used")
        if store.find(policy.name) is None:
            store.put(folder, policy, configured=True)
        return _told(live, "it was activated last")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    for part, path in zip(ALL_PARTS, policy_paths(source), strict=True):
        if part is HYBRID and not path.exists():
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
        with disk_full_as_error():
            (target / part.file).write_bytes(content)
