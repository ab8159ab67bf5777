"""The one replica that holds policies and jobs: the application of ``proofrank serve``, which knows its rankers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from proofrank.core.errors import EvaluationError, PolicyError
from proofrank.service.app import create_app
from proofrank.service.on_ray.health import EvaluatorHealth
from proofrank.service.on_ray.leases import Lease, LeaseBook
from proofrank.service.on_ray.process import replica_name, settle_process
from proofrank.service.on_ray.replica_metrics import merged
from proofrank.service.policies.records import LivePolicy
from proofrank.service.policies.replicas import Replicas
from proofrank.service.services import Services
from proofrank.service.settings.settings import Settings
from proofrank.service.storage.data_folder import FolderInUseError

logger = logging.getLogger("proofrank")

_SECONDS_FOR_THE_FOLDER = 60.0


class Rankers:
    """The rankers of a coordinator."""

    is_alone = False

    def __init__(self, rankers: DeploymentHandle, book: LeaseBook) -> None:
        self._rankers = rankers
        self._book = book

    async def prepare(
        self,
        policy: LivePolicy,
        read_files: Callable[[], Mapping[str, bytes]],
        patience_seconds: float,
    ) -> None:
        """Returns once each replica that can be reached has an evaluator for ``policy``.

        Raises:
            EvaluationError: one of them can make none.
        """
        files = await asyncio.to_thread(read_files)
        try:
            answers = await self._rankers.broadcast("prepare", policy, files).results_async(
                timeout_s=self._book.seconds + patience_seconds, return_exceptions=True
            )
        except Exception:
            # Those that are ready are soon; the others make their evaluators when they learn that it is live.
            logger.exception("not all replicas have prepared for policy %s in time", policy.name)
            return
        for error in answers:
            if isinstance(error, Exception):
                logger.warning("a replica does not prepare for policy %s: %s", policy.name, error)
            cause = getattr(error, "cause", error)
            if isinstance(cause, (PolicyError, EvaluationError)):
                raise EvaluationError(f"a replica cannot use it: {cause}")

    async def follow(self, live: LivePolicy) -> None:
        """Returns once no replica ranks by another policy than ``live``."""
        # Replicas that this does not reach learn of it when they renew their leases.
        telling = asyncio.create_task(self._tell())
        try:
            await self._book.until_all_follow(live)
        finally:
            telling.cancel()

    async def _tell(self) -> None:
        try:
            answers = await self._rankers.broadcast("follow").results_async(
                timeout_s=self._book.seconds, return_exceptions=True
            )
        except Exception:
            logger.exception(
                "the replicas cannot be told of the live policy; they learn of it with their next lease"
            )
            return
        for error in answers:
            if isinstance(error, Exception):
                logger.warning("a replica does not follow at once: %s", error)

    async def gather_metrics(self, own: bytes) -> bytes:
        """Returns ``own`` metrics and those of all replicas with a lease, each labelled with its replica."""
        return await asyncio.to_thread(merged, {replica_name(): own, **self._book.metrics()})


@serve.deployment(name="Coordinator", num_replicas=1, max_ongoing_requests=4096)
@serve.ingress()
class Coordinator:
    """Serves everything but ``POST /rank``, which the rankers serve, and gives them leases for policies."""

    def __init__(
        self, settings: Settings, lease_seconds: float, ranker_deployment: str, ranker_app: str
    ) -> None:
        """Args:
        settings: settings of the service.
        lease_seconds: duration of a lease.
        ranker_deployment: name of the rankers' deployment.
        ranker_app: name of its application.
        """
        self._settings = settle_process(settings)
        self._book = LeaseBook(lease_seconds)
        self._replicas = Rankers(serve.get_deployment_handle(ranker_deployment, ranker_app), self._book)
        self._app = create_app_in_free_folder(self._settings, self._replicas)
        # The previous replica used the folder until now, and may have given leases.
        self._book.open()
        services: Services = self._app.state.services
        self._services = services
        self._health = EvaluatorHealth(services.host)

    def __serve_build_asgi_app__(self) -> FastAPI:  # the name that Ray Serve expects
        return self._app

    async def lease(self, replica: str, ranks_by: LivePolicy | None, metrics: bytes) -> Lease:
        """Gives ``replica`` a lease for the live policy, with its files unless the replica already ranks by it.

        Args:
            replica: name of the replica that asks.
            ranks_by: policy that it ranks by; None if it does not rank yet.
            metrics: its page of metrics, in Prometheus' text form.

        Raises:
            NotReady: the start has not chosen the live policy yet.
        """
        if ranks_by is not None:
            self._book.renew(replica, ranks_by, metrics)
        live, dataset_sha256 = await self._services.policies.served()
        files = self._services.policies.store.files
        contents = None if live == ranks_by else await asyncio.to_thread(files.read, live.sha256)
        return Lease(live, dataset_sha256, contents, self._book.seconds)

    async def release(self, replica: str) -> None:
        """Ends the lease of a replica that has stopped ranking."""
        self._book.release(replica)

    async def check_health(self) -> None:
        """Raises if only a new process can help."""
        self._health.check()


def create_app_in_free_folder(
    settings: Settings, replicas: Replicas, patience_seconds: float = _SECONDS_FOR_THE_FOLDER
) -> FastAPI:
    """Makes the application; waits for the data folder while the previous replica still uses it.

    Raises:
        DataFolderError: the folder, or its content, cannot be used.
        FolderInUseError: another process still uses it after ``patience_seconds``.
    """
    ends = time.monotonic() + patience_seconds
    while True:
        try:
            return create_app(settings, replicas=replicas)
        except FolderInUseError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


async def release_lease(coordinator: DeploymentHandle, replica: str) -> None:
    """Tells the coordinator, if there is one, that ``replica`` has stopped ranking."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            await coordinator.release.remote(replica)
