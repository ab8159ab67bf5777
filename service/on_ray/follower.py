"""The ranking replica's side of a lease: it holds a lease for its policy, and follows the live policy."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from proofrank.core.errors import DatasetError, EvaluationError, PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.service.errors import NotReady
from proofrank.service.on_ray.leases import Lease
from proofrank.service.policies.policy_files import load_named
from proofrank.service.policies.records import LivePolicy

logger = logging.getLogger("proofrank")

_RENEWALS_A_LEASE = 6
_LONGEST_PAUSE = 5.0
_PATIENCE_SECONDS = 1.0
"""Time that a request waits for a lease, in seconds; short, because its deadline begins to count only afterwards."""

AskForLease = Callable[[LivePolicy | None], Awaitable[Lease]]
"""A function that tells the coordinator which policy this replica ranks by (None before the first); returns a lease."""


class PolicyFollower:
    """Ranks by the live policy or not at all. All methods are called on one event loop."""

    def __init__(self, ask: AskForLease, activate: Callable[[Policy], Awaitable[None]]) -> None:
        """Args:
        ask: asks for a lease.
        activate: makes a policy the live one of this replica.
        """
        self._ask = ask
        self._activate = activate
        self._ranks_by: LivePolicy | None = None
        self._dataset_sha256: str | None = None
        self._lease_ends = -float("inf")
        self._pause = _LONGEST_PAUSE
        self._refusal: str | None = None
        # One renewal at a time, so that a late answer cannot undo a newer one.
        self._renewal = asyncio.Lock()

    @property
    def may_rank(self) -> bool:
        """Whether the lease is valid."""
        return time.monotonic() < self._lease_ends

    @property
    def refusal(self) -> str | None:
        """Why this replica cannot serve what is live; None if it can."""
        return self._refusal

    async def first_policy(self) -> Policy:
        """Returns the policy to begin with; waits for the coordinator without limit.

        Raises:
            PolicyError, OSError: the policy cannot be used.
        """
        while True:
            try:
                lease = await self._ask(None)
            except Exception as error:
                logger.info("no coordinator yet: %s", _first_line(error))
                await asyncio.sleep(1.0)
                continue
            policy = await asyncio.to_thread(load_leased, lease)
            self._ranks_by, self._dataset_sha256 = lease.live, lease.dataset_sha256
            return policy

    def check_graph(self, dataset: Dataset) -> None:
        """Raises DatasetError if this replica's graph differs from the one that the coordinator gave with the first
        policy.
        """
        _check_same_graph(dataset.content_hash, self._dataset_sha256)

    async def renew(self) -> None:
        """Renews the lease; if another policy is live, activates it first.

        Raises:
            DatasetError: the coordinator has another graph now.
            PolicyError, EvaluationError, OSError: this replica cannot use the policy.
            NotReady: the evaluator is not ready.
        """
        async with self._renewal:
            while True:
                asked = time.monotonic()
                lease = await self._ask(self._ranks_by)
                try:
                    _check_same_graph(self._dataset_sha256, lease.dataset_sha256)
                    if lease.live == self._ranks_by:
                        self._lease_ends, self._refusal = asked + lease.seconds, None
                        self._pause = min(_LONGEST_PAUSE, lease.seconds / _RENEWALS_A_LEASE)
                        return
                    policy = await asyncio.to_thread(load_leased, lease)
                    await self._activate(policy)
                except (DatasetError, PolicyError, EvaluationError, OSError) as error:
                    self._refusal = str(error)
                    raise
                self._ranks_by, self._refusal = lease.live, None
                logger.info("policy %s (%s) is live here", policy.name, policy.content_hash)

    async def until_current(self) -> None:
        """Returns if the lease is valid, or once it is renewed.

        Raises:
            NotReady: it cannot be renewed in time.
        """
        if self.may_rank:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.renew()
        except Exception as error:
            raise NotReady("this replica cannot learn which policy is live") from error

    async def keep_current(self) -> None:
        """Renews the lease repeatedly, until it is cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self.renew()
            except Exception as error:
                logger.warning("the lease for the policy cannot be renewed: %s", _first_line(error))


def _check_same_graph(here: str | None, there: str | None) -> None:
    if here != there:
        raise DatasetError(
            f"this replica has the graph with SHA-256 {here}, and the coordinator the one with {there}; the setting "
            "dataset must lead to the same files on every node"
        )


def load_leased(lease: Lease) -> Policy:
    """Loads the policy that came with a lease. Raises PolicyError or OSError."""
    if lease.files is None:
        raise PolicyError(f"policy {lease.live.name!r} came without its files")
    return load_sent(lease.live, lease.files)


def load_sent(sent: LivePolicy, files: Mapping[str, bytes]) -> Policy:
    """Loads a policy of these files, as name -> content. Raises PolicyError or OSError."""
    with tempfile.TemporaryDirectory(prefix="proofrank-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        policy = load_named(Path(folder), sent.name)
    if policy.content_hash != sent.sha256:
        raise PolicyError(f"policy {sent.name!r} came with SHA-256 {policy.content_hash}")
    return policy


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
