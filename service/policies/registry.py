"""Stored policies for routes and jobs, and changes of the live policy, one at a time."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from proofrank.core.errors import EvaluationError, PolicyError, RankingError
from proofrank.core.hybrid import Hybrid
from proofrank.core.policy import Policy
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.errors import BadCheckpoint, NotReady, QueueFull, UnusablePolicy
from proofrank.service.policies import multipart_upload as upload
from proofrank.service.policies.imported import import_upload
from proofrank.service.policies.policy_at_start import PolicyAtStart
from proofrank.service.policies.policy_files import ALL_PARTS, CONFIG, VOCABULARY, contents_of, load_named
from proofrank.service.policies.records import NO_RUN, LivePolicy, PolicyRecord
from proofrank.service.policies.replicas import Replicas
from proofrank.service.policies.schemas import to_entry
from proofrank.service.policies.store import PolicyStore, Put
from proofrank.service.storage.data_folder import disk_full_as_error
from proofrank.service.storage.uncancelled import uncancelled
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.wire import NotRestored, RunStep, StoredPolicy

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
        self,
        store: PolicyStore,
        host: EvaluatorHost,
        metrics: ServiceMetrics,
        replicas: Replicas,
        at_start: PolicyAtStart,
    ) -> None:
        self.store = store
        self._at_start = at_start
        self._host = host
        self._metrics = metrics
        self._replicas = replicas
        self._num_uploads = 0
        # The live policy of the store and that of the host change together.
        self._change = asyncio.Lock()
        self._import = asyncio.Lock()

    @property
    def not_restored(self) -> NotRestored | None:
        """The policy that was live before the start and could not be brought back; None if there is none, or once a
        client has activated a policy.
        """
        return self._at_start.not_restored

    async def served(self) -> Served:
        """Returns what other processes must serve too; it may be known before this process is ready.

        Raises:
            NotReady: the start has not chosen the live policy yet.
        """
        # Until the start has chosen, the store says which policy was live before.
        dataset_sha256 = self._at_start.dataset_sha256
        live = None if dataset_sha256 is None else await self.store.call(self.store.live)
        if dataset_sha256 is None or live is None:
            raise NotReady("it is not yet decided which policy is live")
        return Served(live, dataset_sha256)

    async def records(self) -> list[PolicyRecord]:
        """Returns all policies, by name."""
        return await self.store.call(self.store.records)

    async def entries(self, records: Sequence[PolicyRecord]) -> tuple[StoredPolicy, ...]:
        """Returns policies as clients receive them."""
        files = self.store.files
        return await asyncio.to_thread(lambda: tuple(to_entry(record, files) for record in records))

    async def find(self, name: str) -> PolicyRecord:
        """Returns the policy of this name. Raises NoSuchPolicy if there is none."""
        return await self.store.call(partial(self.store.required, name))

    def hybrid(self, name: str, content_hash: str) -> Hybrid | None:
        """Returns the weights of hybrid scores of a stored policy; None without any. Waits for the disk.

        Raises:
            UnusablePolicy: their file is damaged.
        """
        try:
            return self.store.files.hybrid(content_hash)
        except RankingError as error:
            raise UnusablePolicy(f"the stored policy {name!r} cannot be used: {error}") from error

    async def load(self, name: str, content_hash: str) -> Policy:
        """Loads the policy with this content, under ``name``, ready to rank.

        Raises:
            PolicyError: it is not there, or is damaged, or does not fit the graph.
            EvaluationError: no evaluator for it can be exact on this graph.
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
            await self.store.call(partial(self.store.check_room, name))
            folder = await asyncio.to_thread(self.store.files.new_folder)
            try:
                yield folder
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        finally:
            self._num_uploads -= 1

    async def receive(
        self, body: AsyncIterator[bytes], content_type: str, folder: Path, *, public_defaults: bool
    ) -> Path:
        """Writes an uploaded body into ``folder``; a checkpoint of the public code is imported there.

        Args:
            body: the body.
            content_type: the header, with the boundary.
            folder: empty.
            public_defaults: whether an import takes the public code's defaults for facts that are not told.

        Returns:
            The policy folder, which is ``folder`` or in it.

        Raises:
            BadCheckpoint: a checkpoint cannot be imported; other errors as
                :func:`proofrank.service.policies.multipart_upload.receive` raises them.
        """
        dataset = self._host.loaded.dataset
        limits = await asyncio.to_thread(upload.size_limits, dataset)
        checkpoint_name = await upload.receive(body, content_type, folder, limits)
        if checkpoint_name is None:
            return folder
        # One at a time: it holds the checkpoint in memory about three times.
        async with self._import:
            with disk_full_as_error():
                return await asyncio.to_thread(
                    import_upload, folder, checkpoint_name, dataset, with_defaults=public_defaults
                )

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
            if not activate:
                put = await asyncio.to_thread(self.store.put, folder, policy, place=place)
                await self._count_upload()
                return put
            async with self._prepared(policy, lambda: contents_of(folder)) as go_live:
                put = await asyncio.to_thread(self.store.put, folder, policy, live=True, place=place)
                # At once: what could fail in between would leave another policy live in the store than here.
                go_live()
                await self._tell_live(policy)
                await self._count_upload()
                return put

    async def _count_upload(self) -> None:
        self._metrics.policy_changes.labels("upload").inc()
        await self._show_names()

    @asynccontextmanager
    async def _prepared(
        self, policy: Policy, read_files: Callable[[], Mapping[str, bytes]]
    ) -> AsyncIterator[Callable[[], None]]:
        """Has an evaluator for ``policy`` here and in all replicas, before anything changes; yields the function that
        makes it live here.

        Raises:
            UnusablePolicy: there is none and none can be made, for lack of memory for instance.
        """
        has_shape_of_live = self._host.has_shape_of_live(policy)
        async with AsyncExitStack() as held:
            began = time.monotonic()
            try:
                go_live = await held.enter_async_context(self._host.prepared(policy))
                if not has_shape_of_live:
                    # They have the same settings, so they take about as long.
                    patience_seconds = 4 * (time.monotonic() - began)
                    live = LivePolicy(policy.name, policy.content_hash)
                    await self._replicas.prepare(live, read_files, patience_seconds)
            except (PolicyError, EvaluationError) as error:
                raise UnusablePolicy(f"policy {policy.name!r} cannot go live: {error}") from error
            yield go_live

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
            async with self._prepared(policy, lambda: self.store.files.read(policy.content_hash)) as go_live:
                record = await asyncio.to_thread(self.store.make_live, policy)
                go_live()
                await self._tell_live(policy)
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
            part = next((part for part in ALL_PARTS if part.file == error.file), None)
            raise BadCheckpoint("body" if part is None else part.field, str(error)) from error
        try:
            self._host.check_policy(policy)
        except PolicyError as error:
            raise BadCheckpoint(VOCABULARY.field, str(error)) from error
        except EvaluationError as error:
            raise BadCheckpoint(CONFIG.field, str(error)) from error
        return policy

    async def _tell_live(self, policy: Policy) -> None:
        """Tells metrics, log and replicas that ``policy`` is live."""
        self._at_start.forget()
        self._metrics.policy_changes.labels("activate").inc()
        logger.info("policy %s (%s) is live: a client activated it", policy.name, policy.content_hash)
        await self._replicas.follow(LivePolicy(policy.name, policy.content_hash))

    async def _show_names(self) -> None:
        self._metrics.keep_policies({record.name for record in await self.records()})
