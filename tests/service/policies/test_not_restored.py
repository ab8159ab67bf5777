"""A server that cannot bring back the policy that was activated last serves that of its settings, and says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.client import Client, Info, NotRestored
from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator.available_memory import host_bytes
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.prover import ProverSettings
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.policies import PolicyAtStart, PolicyStore
from proofrank.service.settings.settings import load_settings
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.family import write_untrained_policy
from tests.helpers.hosting import queries_of, run
from tests.helpers.scrapes import scrape
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of

LANES = 16384
SCARCE_BYTES = 1.6 * 2**30
"""Memory for a server with the small policy, which takes half of it, and too little for one with the large policy,
whose buffers alone would take more.
"""


@pytest.fixture(scope="module")
def large_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose evaluator needs much memory."""
    folder = tmp_path_factory.mktemp("policies") / "large"
    return write_untrained_policy(folder, family_folder, hidden_dim=2048, num_layers=1)


def not_restored(client: httpx.Client) -> float:
    """The metric."""
    return scrape(client)["proofrank_policy_not_restored", ()]


def test_without_memory_for_the_activated_policy_a_server_starts_with_its_own_and_says_so(
    family_folder: Path, policy_folder: Path, large_folder: Path, tmp_path: Path
) -> None:
    arguments = [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "eager"),
        *("--data-folder", str(tmp_path / "data"), "--buckets", str(LANES), "--least-model-seconds", "0"),
    ]
    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        answer = client.put("/policies/large", files=files_of(large_folder), params={"activate": True})
        assert answer.status_code == 201, answer.text
        sha256 = answer.json()["sha256"]
        assert client.get("/info").json()["not_restored"] is None
        assert not_restored(client) == 0

    with RunningServer(*arguments, "--device-memory", str(SCARCE_BYTES / host_bytes())) as server:
        client = server.wait_until_ready().client
        with Client(server.url) as proofrank_client:
            info = proofrank_client.info()
        assert isinstance(info, Info) and isinstance(info.not_restored, NotRestored)
        assert (info.not_restored.name, info.not_restored.sha256) == ("large", sha256)
        assert "16384 lanes needs about 1.8 GiB on cpu, of which " in info.not_restored.reason
        assert info.policy["name"] == "untrained"
        assert not_restored(client) == 1
        assert f"policy large ({sha256}), which was activated last, is not live: buckets of" in server.log
        policies = {entry["name"]: entry["active"] for entry in client.get("/policies").json()["policies"]}
        assert policies == {"untrained": True, "large": False}
        query = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
        ranked = client.post("/rank", json={"queries": [query], "corruptions": "all"})
        assert ranked.json()["policy"]["name"] == "untrained", ranked.text
        refused = client.post("/policies/large/activate")
        assert refused.status_code == 409 and "1.8 GiB" in refused.json()["detail"]
        assert not_restored(client) == 1
        # Whoever activates a policy, be it the one that is live, has decided.
        assert client.post("/policies/untrained/activate").status_code == 200
        assert client.get("/info").json()["not_restored"] is None
        assert not_restored(client) == 0

    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        assert client.get("/info").json()["policy"]["name"] == "untrained"
        assert client.post("/policies/large/activate").status_code == 200
        info = client.get("/info").json()
        assert (info["policy"]["name"], info["policy"]["sha256"]) == ("large", sha256)


@dataclass
class Restarts:
    """Hosts of the same stored policies, one after the other."""

    store: PolicyStore
    dataset: Path
    policy: Path

    def host(self, **values: Any) -> tuple[EvaluatorHost, PolicyAtStart]:
        """A host that has not begun, and what it asks for the policy to begin with."""
        given = {"dataset": self.dataset, "policy": self.policy, "engine": "eager", "grace_seconds": 1.0}
        settings = load_settings({**given, **values}, environment={})
        metrics = ServiceMetrics()
        at_start = PolicyAtStart(self.store, settings.policy, metrics)
        return EvaluatorHost(settings, metrics, at_start.first, at_start), at_start

    def put_live(self, source: Path) -> Policy:
        """Stores a policy as the one that a client has activated."""
        folder = self.store.files.new_folder()
        for path in source.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        policy = load_policy(folder)
        policy = dataclasses.replace(policy, name=source.name)
        self.store.put(folder, policy, live=True)
        return policy

    def live(self) -> str:
        """Name of the policy that is stored as live."""
        live = self.store.live()
        assert live is not None
        return live.name


@pytest.fixture
def restarts(family_folder: Path, policy_folder: Path, family: Dataset, tmp_path: Path) -> Iterator[Restarts]:
    """Restarts of a server that has begun once."""
    data = tmp_path / "data"
    data.mkdir()
    database = Database.open(data)
    restarts = Restarts(PolicyStore(data, database, 3), family_folder, policy_folder)
    restarts.host()[1].first(family)
    assert restarts.live() == "untrained"
    yield restarts
    database.close()


def test_a_policy_that_the_settings_no_longer_allow_gives_way_too(
    restarts: Restarts, family_folder: Path, tmp_path: Path
) -> None:
    settings = ProverSettings(max_depth=4)
    few = write_untrained_policy(tmp_path / "few", family_folder, settings=settings, max_variables=30)
    policy = restarts.put_live(few)

    async def test() -> None:
        host, at_start = restarts.host(max_depth=50)
        await host.start()
        try:
            assert host.stage == READY, host.failure
            assert host.active_policy.name == restarts.live() == "untrained"
            assert len((await host.rank(queries_of(host.loaded.dataset), 0)).ranked) > 0
            told = at_start.not_restored
            assert told is not None and (told.name, told.sha256) == ("few", policy.content_hash)
            assert "policy 'few' embeds only 30" in told.reason
        finally:
            await host.stop()

        # What is stored stays, and a start that allows it can activate it.
        host, at_start = restarts.host()
        await host.start()
        try:
            assert host.active_policy.name == "untrained" and at_start.not_restored is None
            await host.activate(restarts.store.load("few", policy.content_hash))
            assert host.active_policy.name == "few"
        finally:
            await host.stop()

    run(test)


def test_a_start_that_has_no_memory_for_either_policy_fails_and_changes_nothing(
    restarts: Restarts, family_folder: Path, tmp_path: Path
) -> None:
    restarts.put_live(write_untrained_policy(tmp_path / "other", family_folder, num_layers=3))

    async def test() -> None:
        host, at_start = restarts.host(device_memory=0.0001)
        await host.start()
        await host.stop()
        assert host.has_failed and isinstance(host.failure, MemoryShortError)
        assert restarts.live() == "other" and at_start.not_restored is None

        host, at_start = restarts.host()
        await host.start()
        try:
            assert host.active_policy.name == "other" and at_start.not_restored is None
        finally:
            await host.stop()

    run(test)
