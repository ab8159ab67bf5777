"""Stored policies for routes and jobs, and changes of the live policy, one at a time."""

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
from proofrank.service.policies.records import NO_RUN, LivePolicy, PolicyRecord
from proofrank.service.policies.replicas import Replicas
from proofrank.service.policies.store import PolicyStore, Put
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import RunStep

logger = logging.getLogger("proofrank")

_MOST_UPLOADS = 4
"""Maximum number of uploads received at once; each may take as much disk as the largest policy."""


class Served(NamedTuple):
    """The policy and the graph that requests are ranked with.

    Attributes:
        live: the live policy.
        dataset_sha256: hash of the graph's content.
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
        # Set once the start has chosen the live policy; until then the store says which was live before.
        self._dataset_sha256: str | None = None
        # The live policy of the store and that of the host change together.
        self._change = asyncio.Lock()

    def policy_at_start(self, configured: Path, dataset: Dataset) -> Policy:
        """Returns the policy to go live with; see :func:`policy_at_start`. Waits for the disk."""
        policy = policy_at_start(self.store, configured, dataset, self._metrics)
        self._dataset_sha256 = dataset.content_hash
        return policy

    async def served(self) -> Served:
        """Returns what other processes must serve too; it may be known before this process is ready.

        Raises:
            NotReady: the start has not chosen the live policy yet.
        """
        dataset_sha256 = self._dataset_sha256
        live = None if dataset_sha256 is None else await asyncio.to_thread(self.store.live)
        if dataset_sha256 is None or live is None:
            raise NotReady("it is not yet decided which policy is live")
        return Served(live, dataset_sha256)

    async def records(self) -> list[PolicyRecord]:
        """Returns all policies, by name."""
        return await asyncio.to_thread(self.store.records)

    async def find(self, name: str) -> PolicyRecord:
        """Returns the policy of this name. Raises NoSuchPolicy if there is none."""
        return await asyncio.to_thread(self.store.required, name)

    async def load(self, name: str, content_hash: str) -> Policy:
        """Loads the policy with this content, under ``name``, ready to rank.

        Raises:
            PolicyError: it is not there, or is damaged, or does not fit the graph.
            EvaluationError: this server cannot use it.
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
        """Yields a folder to receive an upload in, and removes it afterwards.

        Raises:
            TooManyPolicies: the maximum number of policies is reached.
            QueueFull: too many uploads are in progress.
        """
        if self._num_uploads >= _MOST_UPLOADS:
            raise QueueFull(f"{self._num_uploads} policies are being uploaded, which is the maximum")
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

    async def put(self, name: str, folder: Path, *, activate: bool, place: RunStep = NO_RUN) -> Put:
        """Checks the policy in ``folder``, stores it under ``name``, and perhaps makes it the live one.

        Raises:
            BadCheckpoint: this server cannot use it.
            TooManyPolicies: the maximum number of policies is reached.
            DataFolderFullError: there is no room for it.
        """
        return await uncancelled(self._put(name, folder, activate, place))

    async def _put(self, name: str, folder: Path, activate: bool, place: RunStep) -> Put:
        async with self._change:
            policy = await asyncio.to_thread(self._checked, folder, name)
            put = await asyncio.to_thread(self.store.put, folder, policy, live=activate, place=place)
            self._metrics.policy_changes.labels("upload").inc()
            if activate:
                await self._go_live(policy)
            await self._show_names()
            return put

    async def activate(self, name: str) -> PolicyRecord:
        """Makes a stored policy the live one, also after a restart; requests that have begun keep theirs.

        Raises:
            NoSuchPolicy: there is no policy of this name.
            UnusablePolicy: this server cannot use it.
            DataFolderFullError: there is no room to store the change.
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
            NoSuchPolicy: there is no policy of this name.
            PolicyInUse: it is live, or a job needs it.
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
