"""What routes and jobs use: stored policies, and the change of the one that is live, one change at a time."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from proofrank.core.errors import EvaluationError, PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.errors import BadCheckpoint, NotReady, QueueFull, UnusablePolicy
from proofrank.service.policies import multipart_upload as upload
from proofrank.service.policies.policy_at_start import policy_at_start
from proofrank.service.policies.policy_files import CONFIG, PARTS, VOCABULARY, load_named
from proofrank.service.policies.records import LivePolicy, PolicyRecord
from proofrank.service.policies.replicas import Replicas
from proofrank.service.policies.store import PolicyStore, Put
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.telemetry.metrics import ServiceMetrics

logger = logging.getLogger("proofrank")

_MOST_UPLOADS = 4
"""Uploads that are received at once: each may take as much of the disk as a policy may."""


class Served(NamedTuple):
    """What comes in is ranked by this policy over this graph.

    Attributes:
        live: the policy.
        dataset_sha256: content hash of the graph.
    """

    live: LivePolicy
    dataset_sha256: str


class PolicyRegistry:
    """The stored policies of a server, and which of them is live."""

    def __init__(
        self, store: PolicyStore, host: EvaluatorHost, metrics: ServiceMetrics, replicas: Replicas
    ) -> None:
        self.store = store
        self._host = host
        self._metrics = metrics
        self._replicas = replicas
        self._num_uploads = 0
        # Known once the start has decided which policy is live: until then the store says what was live before.
        self._dataset_sha256: str | None = None
        # What the store says is live and what the host ranks by change together.
        self._change = asyncio.Lock()

    def policy_at_start(self, configured: Path, dataset: Dataset) -> Policy:
        """The policy to go live with; see :func:`policy_at_start`. Waits for the disk."""
        policy = policy_at_start(self.store, configured, dataset, self._metrics)
        self._dataset_sha256 = dataset.content_hash
        return policy

    async def served(self) -> Served:
        """What is served, for other processes to serve it too; that may be before this one is ready.

        Raises:
            NotReady: the start has not yet decided which policy is live.
        """
        dataset_sha256 = self._dataset_sha256
        live = None if dataset_sha256 is None else await asyncio.to_thread(self.store.live)
        if dataset_sha256 is None or live is None:
            raise NotReady("it is not yet decided which policy is live")
        return Served(live, dataset_sha256)

    async def records(self) -> list[PolicyRecord]:
        """All policies, by name."""
        return await asyncio.to_thread(self.store.records)

    async def find(self, name: str) -> PolicyRecord:
        """The policy of this name. Raises NoSuchPolicy where there is none."""
        return await asyncio.to_thread(self.store.required, name)

    async def load(self, name: str, content_hash: str) -> Policy:
        """The policy with this content, under ``name``, ready to rank by.

        Raises:
            PolicyError: it is not there, or is damaged, or does not fit the graph.
            EvaluationError: it cannot be used in this server.
            NotReady: the service is not ready.
        """
        active = self._host.active_policy
        if (active.name, active.content_hash) == (name, content_hash):
            return active

        def load() -> Policy:
            policy = self.store.load(name, content_hash)
            self._host.check_policy(policy)
            return policy

        return await asyncio.to_thread(load)

    @asynccontextmanager
    async def incoming(self, name: str) -> AsyncIterator[Path]:
        """A folder to receive an upload in, removed afterwards.

        Raises:
            TooManyPolicies: there is no place for another one.
            QueueFull: too many uploads are under way.
        """
        if self._num_uploads >= _MOST_UPLOADS:
            raise QueueFull(
                f"{self._num_uploads} policies are being uploaded, and there may not be more at once"
            )
        self._num_uploads += 1
        try:
            await asyncio.to_thread(self.store.check_room, name)
            folder = await asyncio.to_thread(self.store.files.new_folder)
            try:
                yield folder
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        finally:
            self._num_uploads -= 1

    async def receive(self, body: AsyncIterator[bytes], content_type: str, folder: Path) -> None:
        """Writes an uploaded body into ``folder``; raises as :func:`service.policies.multipart_upload.receive` does."""
        limits = await asyncio.to_thread(upload.size_limits, self._host.loaded.dataset)
        await upload.receive(body, content_type, folder, limits)

    async def put(self, name: str, folder: Path, *, activate: bool) -> Put:
        """Checks the policy in ``folder``, stores it under ``name`` and perhaps has it live from now on.

        Raises:
            BadCheckpoint: it cannot be used in this server.
            TooManyPolicies: there is no place for another one.
            DataFolderFullError: there is no room for it.
        """
        return await uncancelled(self._put(name, folder, activate))

    async def _put(self, name: str, folder: Path, activate: bool) -> Put:
        async with self._change:
            policy = await asyncio.to_thread(self._checked, folder, name)
            put = await asyncio.to_thread(self.store.put, folder, policy, live=activate)
            self._metrics.policy_changes.labels("upload").inc()
            if activate:
                await self._go_live(policy)
            await self._show_names()
            return put

    async def activate(self, name: str) -> PolicyRecord:
        """Has a stored policy live from now on, after a restart as well; what has begun keeps the one it began with.

        Raises:
            NoSuchPolicy: there is none of this name.
            UnusablePolicy: it cannot be used in this server.
            DataFolderFullError: there is no room to note it.
        """
        return await uncancelled(self._activate(name))

    async def _activate(self, name: str) -> PolicyRecord:
        async with self._change:
            record = await self.find(name)
            try:
                policy = await self.load(name, record.sha256)
            except (PolicyError, EvaluationError) as error:
                raise UnusablePolicy(str(error)) from error
            record = await asyncio.to_thread(self.store.make_live, policy)
            await self._go_live(policy)
            return record

    async def delete(self, name: str) -> None:
        """Removes a policy.

        Raises:
            NoSuchPolicy: there is none of this name.
            PolicyInUse: it is live or needed by a job.
        """
        await uncancelled(self._delete(name))

    async def _delete(self, name: str) -> None:
        async with self._change:
            await asyncio.to_thread(self.store.delete, name)
            self._metrics.policy_changes.labels("delete").inc()
            await self._show_names()

    def _checked(self, folder: Path, name: str) -> Policy:
        try:
            policy = load_named(folder, name)
        except PolicyError as error:
            part = next((part for part in PARTS if part.file == error.file), None)
            raise BadCheckpoint("body" if part is None else part.field, str(error)) from error
        try:
            self._host.check_policy(policy)
        except PolicyError as error:
            raise BadCheckpoint(VOCABULARY.field, str(error)) from error
        except EvaluationError as error:
            raise BadCheckpoint(CONFIG.field, str(error)) from error
        return policy

    async def _go_live(self, policy: Policy) -> None:
        self._host.activate(policy)
        self._metrics.policy_changes.labels("activate").inc()
        logger.info("policy %s (%s) is live: a client activated it", policy.name, policy.content_hash)
        await self._replicas.follow(LivePolicy(policy.name, policy.content_hash))

    async def _show_names(self) -> None:
        self._metrics.keep_policies({record.name for record in await self.records()})
