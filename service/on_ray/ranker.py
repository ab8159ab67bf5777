"""The replicas that rank: ``POST /rank``, each with an evaluator, by the live policy of the coordinator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import generate_latest
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Receive, Scope, Send

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.service.app import create_ranking_app
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.on_ray.coordinator import release_lease
from proofrank.service.on_ray.follower import PolicyFollower, load_sent
from proofrank.service.on_ray.health import EvaluatorHealth, NotUsableError
from proofrank.service.on_ray.leases import Lease
from proofrank.service.on_ray.process import replica_name, settle_process
from proofrank.service.policies.records import LivePolicy
from proofrank.service.services import RankingServices
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import make_workers

logger = logging.getLogger("proofrank")

ROUTE_PREFIX = "/rank"


@serve.deployment(name="Ranker", max_ongoing_requests=256)
@serve.ingress()
class Ranker:
    """Ranks; accepts requests once its evaluator is warm."""

    def __init__(self, settings: Settings, coordinator_deployment: str, coordinator_app: str) -> None:
        """Args:
        settings: settings of the service.
        coordinator_deployment: name of the coordinator's deployment.
        coordinator_app: name of its application.
        """
        self._settings = settle_process(settings)
        self._name = replica_name()
        self._coordinator: DeploymentHandle = serve.get_deployment_handle(
            coordinator_deployment, coordinator_app
        )
        self._metrics = ServiceMetrics()
        self._follower = PolicyFollower(self._ask_for_lease, self._activate)

    async def __serve_build_asgi_app__(self) -> ASGIApp:  # the name that Ray Serve expects
        asyncio.get_running_loop().set_default_executor(make_workers())
        policy = await self._follower.first_policy()

        def checked(dataset: Dataset) -> Policy:
            self._follower.check_graph(dataset)
            policy.check_fits(dataset)
            return policy

        self._host = EvaluatorHost(self._settings, self._metrics, checked)
        self._health = EvaluatorHealth(self._host)
        await self._host.start()
        self._health.check()
        await self._follower.renew()
        services = RankingServices(self._settings, self._metrics, self._host)
        return _below(create_ranking_app(services, self._lifespan, self._follower.until_current))

    async def _ask_for_lease(self, ranks_by: LivePolicy | None) -> Lease:
        metrics = await asyncio.to_thread(generate_latest, self._metrics.registry)
        return await self._coordinator.lease.remote(self._name, ranks_by, metrics)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._follower.keep_current())
        yield
        renewing.cancel()
        await self._host.stop()
        await release_lease(self._coordinator, self._name)

    async def _activate(self, policy: Policy) -> None:
        await self._host.activate(policy)

    async def prepare(self, policy: LivePolicy, files: Mapping[str, bytes]) -> None:
        """Returns once this replica has an evaluator for ``policy``; it ranks by the live one meanwhile.

        Args:
            policy: name and content.
            files: its files, as name -> content.

        Raises:
            PolicyError, EvaluationError: this replica cannot use the policy.
        """
        loaded = await asyncio.to_thread(load_sent, policy, files)
        async with self._host.prepared(loaded):
            logger.info("ready for policy %s (%s)", loaded.name, loaded.content_hash)

    async def follow(self) -> None:
        """Returns once this replica ranks by the live policy."""
        await self._follower.renew()

    async def check_health(self) -> None:
        """Raises if only a new process can help."""
        self._health.check()
        if self._follower.refusal is not None:
            raise NotUsableError(f"what is live cannot be served here: {self._follower.refusal}")


def _below(app: ASGIApp) -> ASGIApp:
    """Returns ``app`` for requests below the route prefix: Ray Serve takes the prefix as a mount point."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if "root_path" in scope:
            scope = {**scope, "root_path": scope["root_path"].removesuffix(ROUTE_PREFIX)}
        await app(scope, receive, send)

    return call
