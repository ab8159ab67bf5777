"""A network of one's own, pushed from memory to a server: what is stored, and the ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import proofrank
from proofrank.client import Client, ClientError
from proofrank.core.default import DATASET, POLICY
from tests.helpers.own_networks import default_dataset, exported_policy, make_network
from tests.helpers.serving import RunningServer

OPTIONS: dict[str, Any] = {"corruptions": 5, "side": "tail", "seed": 3}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer("--dataset", str(DATASET), "--policy", str(POLICY), "--engine", "eager") as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


def ranks_by_the_server(client: Client, policy: Any) -> list[float]:
    result = client.evaluate("valid", policy=policy, progress=False, **OPTIONS)
    assert result.job.policy.sha256 == policy.sha256
    return [ranking.rank for ranking in result.rankings]


def ranks_in_process(policy: proofrank.Policy) -> list[float]:
    report = proofrank.evaluate(default_dataset(), policy, split="valid", engine="original", **OPTIONS)
    return [ranking.rank for ranking in report.rankings]


@pytest.mark.parametrize("kind", ["two towers", "pairs"])
def test_an_exported_policy_is_pushed_and_ranks_as_in_process(client: Client, kind: str) -> None:
    seen, run = [], kind.replace(" ", "-")
    for seed in (0, 1):
        policy = exported_policy(kind, seed)
        pushed = client.push(run, policy, step=seed, name=f"{run}-{seed}")
        assert (pushed.run, pushed.step) == (run, seed)
        seen.append(ranks_by_the_server(client, pushed))
        assert seen[-1] == ranks_in_process(policy)
    assert seen[0] != seen[1]
    assert [step.step for step in client.run(run).steps] == [0, 1]


def test_a_module_is_exported_into_a_folder_that_is_gone_afterwards(client: Client, tmp_path: Path) -> None:
    network = make_network("two towers", default_dataset(), seed=2)
    policy = proofrank.export_policy(network, default_dataset(), tmp_path / "mine")
    folders = []

    def export(module: nn.Module, folder: Path) -> None:
        folders.append(folder)
        assert list(folder.iterdir()) == []
        proofrank.export_policy(module, default_dataset(), folder)

    pushed = client.push("live", network, step=4, export=export)

    assert pushed.sha256 == policy.content_hash == client.push("loaded", policy, step=0).sha256
    assert (pushed.name, pushed.step) == ("live", 4)
    assert ranks_by_the_server(client, pushed) == ranks_in_process(policy)
    assert network.training
    assert not any(folder.exists() for folder in folders)


def test_what_export_cannot_mean_is_not_sent() -> None:
    policy, network = exported_policy("two towers"), make_network("two towers", default_dataset())

    def export(module: nn.Module, folder: Path) -> proofrank.Policy:
        return proofrank.export_policy(module, default_dataset(), folder)

    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (network, {}, "or export= for a network of one's own"),
        (network, {"like": policy, "export": export}, "expected one of them"),
        (policy, {"export": export}, "a proofrank.Policy is uploaded as it is"),
        (policy, {"like": policy}, "like is for a network"),
        (
            network,
            {"export": lambda module, folder: None},
            "export has not written a policy folder: .*policy",
        ),
    ]
    with Client("http://127.0.0.1:9") as client:
        for module, options, message in wrong:
            with pytest.raises(ClientError, match=message):
                client.push("r", module, step=1, **options)
        with pytest.raises(proofrank.PolicyError):
            client.push("r", nn.Linear(3, 3), step=1, export=export)
