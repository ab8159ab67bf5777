"""Training runs: policies and jobs keep their run and step, and a run shows its metrics by step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.service.cli.main import main
from proofrank.service.client import (
    AsyncClient,
    Client,
    ClientError,
    InvalidRequestError,
    NotFoundError,
)
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(serve_arguments: list[str], data_folder: Path) -> Iterator[RunningServer]:
    """A server whose policies these tests change."""
    with RunningServer(*serve_arguments, "--data-folder", str(data_folder)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture
def policy(policy_folder: Path, family: Dataset) -> Policy:
    """A policy in memory, which a test may change."""
    return load_policy(policy_folder, family)


def changed(policy: Policy, seed: int) -> Policy:
    """The policy after a step of a training: the same network with other weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        policy.network.embedding.predicates[0] = 0
        policy.network.embedding.arguments[0] = 0
    return policy


def test_a_module_in_memory_is_pushed_step_by_step_and_its_jobs_keep_run_and_step(
    client: Client, policy: Policy
) -> None:
    jobs, pushed = [], []
    for step in range(3):
        uploaded = client.push("in-memory", changed(policy, step), step=step, labels={"lr": str(0.1 * step)})
        assert (uploaded.name, uploaded.run, uploaded.step) == ("in-memory", "in-memory", step)
        pushed.append(uploaded)
        result = client.evaluate("test", policy=uploaded, corruptions=3, progress=False)
        assert (result.job.run, result.job.step, result.job.labels) == ("in-memory", step, uploaded.labels)
        jobs.append(result.job)
    client.evaluate("valid", policy=pushed[2], corruptions=3, progress=False)

    run = client.run("in-memory")

    assert [step.step for step in run.steps] == [0, 1, 2]
    assert [step.policy.sha256 for step in run.steps] == [uploaded.sha256 for uploaded in pushed]
    # Each push replaced the one before.
    assert [step.is_stored for step in run.steps] == [False, False, True]
    assert [step.labels["lr"] for step in run.steps] == ["0.0", "0.1", "0.2"]
    assert [job.id for step in run.steps for job in step.jobs][:3] == [job.id for job in jobs]
    for job, step in zip(jobs, run.steps, strict=True):
        assert job.metrics is not None and step.jobs[0].metrics is not None
        assert step.jobs[0].metrics.mrr == job.metrics.mrr
        assert step.jobs[0].request.split == "test"
    assert run.steps[2].jobs[1].request.split == "valid"
    (summary,) = (found for found in client.runs() if found.name == "in-memory")
    assert (summary.steps, summary.last_step, summary.jobs) == (3, 2, 4)
    assert summary.first < summary.last
    assert {job.id for job in client.jobs(run="in-memory")} >= {job.id for job in jobs}
    assert [step.step for step in client.run("in-memory", limit=2).steps] == [1, 2]
    # Runs are compared by their jobs.
    assert client.compare(jobs[0], jobs[2]).b.policy.sha256 == pushed[2].sha256


def test_what_is_pushed_is_the_network_as_it_is(client: Client, policy: Policy, tmp_path: Path) -> None:
    from proofrank.core.policy import save_policy
    from proofrank.core.prover import ProverSettings

    network = changed(policy, 5).network
    save_policy(tmp_path / "files", network, policy.vocabulary, policy.settings or ProverSettings())
    from_files = client.upload_policy("from-files", tmp_path / "files")
    assert client.push("memory", policy, step=0, name="a").sha256 == from_files.sha256
    assert client.push("memory", network, like=policy, step=0, name="b").sha256 == from_files.sha256
    compiled = torch.compile(network)
    assert client.push("memory", compiled, like=policy, step=0, name="c").sha256 == from_files.sha256
    assert [step.policy.name for step in client.run("memory").steps] == ["c"]
    for name in ("a", "b", "c", "from-files"):
        client.delete_policy(name)


def test_names_of_their_own_keep_the_policies_of_all_steps(client: Client, policy: Policy) -> None:
    for step in (1, 2):
        client.push("kept", changed(policy, step), step=step, name=f"kept-{step}", activate=step == 2)
    run = client.run("kept")
    assert [(step.policy.name, step.is_stored, step.jobs) for step in run.steps] == [
        ("kept-1", True, ()),
        ("kept-2", True, ()),
    ]
    # A job without a policy is of the run whose policy is live.
    job = client.submit("test", limit=1, corruptions=1)
    assert (job.run, job.step) == ("kept", 2)
    client.wait(job.id, progress=False)
    assert {policy.name: policy.run for policy in client.policies()}["kept-1"] == "kept"


def test_a_step_with_two_contents_has_an_entry_for_each_that_a_job_has_ranked(
    client: Client, policy: Policy
) -> None:
    for seed in (8, 9):
        uploaded = client.push("again", changed(policy, seed), step=4)
        client.evaluate("test", policy=uploaded, limit=1, corruptions=1, progress=False)
    first, second = client.run("again").steps
    assert (first.step, second.step) == (4, 4)
    assert first.policy.sha256 != second.policy.sha256
    assert {first.is_stored, second.is_stored} == {False, True}


def test_a_policy_of_no_run_and_its_jobs_have_none(client: Client, policy_folder: Path) -> None:
    uploaded = client.upload_policy("alone", policy_folder, labels={"note": "as=it is, ünïcode"})
    assert (uploaded.run, uploaded.step, uploaded.labels) == (None, None, {"note": "as=it is, ünïcode"})
    job = client.submit("test", limit=1, policy="alone", corruptions=1)
    assert (job.run, job.labels) == (None, uploaded.labels)
    client.wait(job.id, progress=False)
    # A later upload says anew where the policy belongs.
    assert client.upload_policy("alone", policy_folder).labels == {}
    assert client.job(job.id).labels == uploaded.labels
    with pytest.raises(NotFoundError, match="no policy and no job is of a run 'alone'"):
        client.run("alone")
    client.delete_policy("alone")


def test_runs_outlive_a_restart_and_their_policies(
    serve_arguments: list[str], tmp_path: Path, policy: Policy
) -> None:
    arguments = [*serve_arguments, "--data-folder", str(tmp_path / "data")]
    with RunningServer(*arguments) as running, Client(running.wait_until_ready().url) as client:
        uploaded = client.push("run", policy, step=7, labels={"a": "b"})
        client.evaluate("test", policy=uploaded, limit=1, corruptions=1, progress=False)
        client.delete_policy("run")
        before = client.run("run")
    with RunningServer(*arguments) as running, Client(running.wait_until_ready().url) as client:
        assert client.run("run") == before
        assert [(step.is_stored, step.labels) for step in before.steps] == [(False, {"a": "b"})]


def test_the_asynchronous_client_has_the_same_methods(server: RunningServer, policy: Policy) -> None:
    async def pushed() -> tuple[Any, ...]:
        async with AsyncClient(server.url) as client:
            await client.push("async", policy, step=1)
            return (await client.run("async")).steps

    assert [step.step for step in asyncio.run(pushed())] == [1]


@pytest.mark.parametrize(
    ("parameters", "field", "message"),
    [
        ({"run": "r"}, "run", "expected both a run and a step, or neither"),
        ({"step": "1"}, "step", "expected both a run and a step, or neither"),
        ({"run": "a b", "step": "1"}, "query.run", "string should match pattern"),
        ({"run": "r", "step": "-1"}, "query.step", "greater than or equal to 0"),
        ({"label": "no sign"}, "label", "expected NAME=TEXT"),
        ({"label": f"a={'x' * 201}"}, "label", "at most 200 characters"),
        ({"label": ["a=1", "a=2"]}, "label", "the name stands twice"),
        ({"label": [f"a{number}=1" for number in range(21)]}, "query.label", "at most 20 items"),
    ],
)
def test_a_place_that_cannot_be_is_refused_with_its_field(
    server: RunningServer, policy_folder: Path, parameters: dict[str, Any], field: str, message: str
) -> None:
    answer = server.client.put("/policies/refused", params=parameters, files=files_of(policy_folder))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], message in error["message"]) == (field, True), error
    assert "refused" not in [policy["name"] for policy in server.client.get("/policies").json()["policies"]]


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("torch", {}, "module is a Linear; expected a proofrank.Policy or a PolicyNetwork"),
        ("network", {}, "a network needs like=, a proofrank.Policy"),
        ("policy", {"like": "policy"}, "like is for a network"),
        ("network", {"like": "torch"}, "like is a Linear; expected a proofrank.Policy"),
    ],
)
def test_what_is_no_policy_is_not_sent(
    policy: Policy, module: str, options: dict[str, str], message: str
) -> None:
    known = {"torch": torch.nn.Linear(2, 2), "network": policy.network, "policy": policy}
    with Client("http://127.0.0.1:9") as client, pytest.raises(ClientError, match=message):
        client.push("r", known[module], step=1, **{name: known[value] for name, value in options.items()})


def test_a_network_of_another_graph_is_told_before_it_is_sent(policy: Policy) -> None:
    from proofrank.core.default import DATASET
    from proofrank.core.graph import load_dataset
    from proofrank.core.policy import untrained_policy

    other = untrained_policy(load_dataset(DATASET), 0)
    with Client("http://127.0.0.1:9") as client, pytest.raises(ClientError, match="like= has 2 and 8"):
        client.push("r", other.network, like=policy, step=1)


# The command line


def run_command(capsys: pytest.CaptureFixture[str], server: RunningServer, *arguments: object) -> str:
    """Standard output of a command that succeeds."""
    assert main([*map(str, arguments), "--url", server.url]) == 0
    return capsys.readouterr().out


def test_commands_upload_list_activate_and_export(
    server: RunningServer,
    client: Client,
    family_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_untrained_policy(tmp_path / "checkpoint", family_folder, seed=21)
    out = run_command(
        capsys, server, "upload", "by-command", folder, "--run", "cli", "--step", 3, "--label", "lr=[red]1"
    )
    assert {"by-command", "cli", "3", "lr=[red]1"} <= set(out.split())
    assert "live" in run_command(capsys, server, "activate", "by-command").split("sha256")[1]
    assert run_command(capsys, server, "runs", "cli").split().count("by-command") == 1
    job = client.evaluate("test", corruptions="all", progress=False).job

    assert job.id in run_command(capsys, server, "jobs", "--run", "cli", "--state", "done")
    assert "none" in run_command(capsys, server, "jobs", "--run", "cli", "--state", "failed")
    listed = tmp_path / "runs.json"
    assert "cli" in run_command(capsys, server, "runs", "--json", listed)
    assert "cli" in [run["name"] for run in json.loads(listed.read_text())["runs"]]
    assert job.metrics is not None
    shown = run_command(capsys, server, "runs", "cli", "--json", listed)
    assert {job.id, f"{job.metrics.mrr:.4f}", "lr=[red]1"} <= set(shown.split())
    assert json.loads(listed.read_text())["steps"][0]["jobs"][0]["id"] == job.id
    policies = run_command(capsys, server, "policies", "--run", "cli", "--json", listed)
    assert ("by-command" in policies, len(json.loads(listed.read_text()))) == (True, 1)

    for suffix, beginning in (("json", b'{"job":'), ("csv", b"query_index,head"), ("parquet", b"PAR1")):
        path = tmp_path / "exports" / f"results.{suffix}"
        run_command(capsys, server, "export", job.id, path)
        assert path.read_bytes().startswith(beginning)
    results = tmp_path / "exports" / "results.json"
    assert main(["compare", str(results), str(results)]) == 0
    assert "No rank changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "no-such-run"], "no policy and no job is of a run 'no-such-run'"),
        (["export", "no-such-job", "x.csv"], "there is no job 'no-such-job'"),
        (["export", "1", "x.txt"], "x.txt: expected a name that ends in .json, .csv, .parquet"),
        (["activate", "no-such-policy"], "no policy is called 'no-such-policy'"),
        (["upload", "name", "/nowhere"], "/nowhere/policy.safetensors: no such file"),
        (
            ["upload", "name", __file__],
            "test_runs.py: a file; expected the folder of a policy (upload_checkpoint",
        ),
    ],
)
def test_what_a_command_cannot_do_is_told_in_one_line(
    server: RunningServer, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "--url", server.url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_step_without_a_run_is_refused_by_the_command(server: RunningServer, policy_folder: Path) -> None:
    with Client(server.url) as client, pytest.raises(InvalidRequestError, match="both a run and a step"):
        client.upload_policy("x", policy_folder, step=1)


def test_reading_runs_needs_the_right_to_rank_alone(server: RunningServer) -> None:
    answer: httpx.Response = server.client.get("/runs", params={"limit": 1})
    assert answer.status_code == 200
    assert len(answer.json()["runs"]) <= 1
