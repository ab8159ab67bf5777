"""Networks of one's own in a server and in commands: uploaded, made live, ranked, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load, save

from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.policy import Policy, load_policy
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries
from tests.helpers.answers import without_time
from tests.helpers.own_networks import default_dataset, exported
from tests.helpers.serving import RunningServer, run_command
from tests.helpers.uploads import files_of

KINDS = ("two towers", "pairs")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that begins with a network of one's own."""
    data_folder = tmp_path_factory.mktemp("data")
    arguments = [
        "--dataset",
        str(DATASET),
        "--policy",
        str(exported(kind)),
        "--data-folder",
        str(data_folder),
    ]
    with RunningServer(*arguments, "--engine", "eager") as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> httpx.Client:
    return server.client


def ranks_by_the_reference(policy: Policy) -> list[float]:
    """The ranks of the first test triples on both sides, against all corruptions."""
    dataset = default_dataset()
    evaluator = ReferenceEvaluator(dataset, policy, settings_for(policy))
    queries = corrupted_queries(dataset.splits["test"][:2], ["tail"], Corruptor(dataset))
    return [ranked.ranks.realistic for ranked in rank_queries(evaluator, queries)]


def ranked(client: httpx.Client) -> dict[str, Any]:
    dataset = default_dataset()
    names = [dataset.names(triple) for triple in dataset.splits["test"][:2]]
    queries = [
        {"head": head, "relation": relation, "tail": tail, "side": "tail"} for head, relation, tail in names
    ]
    answer = client.post("/rank", json={"queries": queries, "corruptions": "all"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ranks_of(answer: dict[str, Any]) -> list[float]:
    return [ranking["rank"] for query in answer["queries"] for ranking in query["rankings"]]


def test_other_weights_are_uploaded_made_live_and_rank(kind: str, client: httpx.Client) -> None:
    first, second = (load_policy(exported(kind, seed), default_dataset()) for seed in (0, 1))
    before = ranked(client)
    assert before["policy"]["sha256"] == first.content_hash

    answer = client.put("/policies/epoch-1", files=files_of(exported(kind, 1)), params={"activate": True})

    assert answer.status_code == 201, answer.text
    after = ranked(client)
    assert after["policy"]["sha256"] == second.content_hash
    assert ranks_of(before) == ranks_by_the_reference(first)
    assert ranks_of(after) == ranks_by_the_reference(second)
    assert client.post(f"/policies/{before['policy']['name']}/activate").status_code == 200
    assert without_seconds(ranked(client)) == without_seconds(before)


def test_another_network_and_the_built_in_one_go_live_in_turn(kind: str, client: httpx.Client) -> None:
    before = ranked(client)
    for name, folder in (("other", exported("transformer")), ("built-in", POLICY)):
        policy = load_policy(folder, default_dataset())

        answer = client.put(f"/policies/{name}", files=files_of(folder), params={"activate": True})

        assert answer.status_code == 201, answer.text
        after = ranked(client)
        assert after["policy"]["sha256"] == policy.content_hash
        assert ranks_of(after) == ranks_by_the_reference(policy)
    assert client.post(f"/policies/{before['policy']['name']}/activate").status_code == 200
    assert without_seconds(ranked(client)) == without_seconds(before)


def without_seconds(answer: dict[str, Any]) -> list[Any]:
    return [without_time(query["rankings"]) for query in answer["queries"]]


def test_info_says_what_the_network_maps(kind: str, client: httpx.Client) -> None:
    policy = client.get("/info").json()["policy"]

    assert policy["maps"] == ("pairs" if kind == "pairs" else "states")
    assert policy["num_atoms"] == 6
    assert policy["parameters"] > 1000


def test_a_program_that_is_not_allowed_is_refused_with_its_node(kind: str, client: httpx.Client) -> None:
    files = files_of(exported(kind))
    files["config"] = files["config"].replace(b'"aten.embedding.default"', b'"os.system"', 1)

    status, problem = refused(client, files)

    assert status == 422
    assert problem["field"] == "config"
    assert "SHA-256" in problem["message"]


def test_weights_that_are_not_finite_are_refused(kind: str, client: httpx.Client) -> None:
    files = files_of(exported(kind))
    tensors = load(files["weights"])
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    files["weights"] = save(tensors)

    assert refused(client, files)[0] == 422


def refused(client: httpx.Client, files: dict[str, bytes]) -> tuple[int, dict[str, Any]]:
    """Uploads files, which must not be stored; returns the status and what is wrong."""
    answer = client.put("/policies/bad", files=files)
    assert "bad" not in {entry["name"] for entry in client.get("/policies").json()["policies"]}
    return answer.status_code, answer.json()["errors"][0]


def test_commands_take_the_folder(kind: str, tmp_path: Path) -> None:
    folder = ["--dataset", str(DATASET), "--policy", str(exported(kind))]

    checked = run_command("check", *folder)
    assert f"policy {kind.replace(' ', '-')} " in checked.stdout, checked.stderr

    state = [["locatedInCR", "albania", "europe"]]
    actions = [[["neighborOf", "albania", "V1"], ["locatedInCR", "V1", "europe"]], [["Endf"]]]
    probe = {"state": state, "actions": actions, "variables": {"V1": 0}}
    (tmp_path / "probes.jsonl").write_text(json.dumps(probe))
    logits = run_command("logits", *folder, "--probes", str(tmp_path / "probes.jsonl"))
    assert logits.returncode == 0, logits.stderr
    assert "2 logits, computed in float64" in logits.stdout

    options = ("--corruptions", "1", "--side", "tail", "--engine", "eager", "--split", "valid")
    evaluated = run_command("evaluate", *folder, *options)
    assert evaluated.returncode == 0, evaluated.stderr


def test_a_server_of_another_precision_refuses_it_and_ranks_on(tmp_path: Path) -> None:
    arguments = ["--dataset", str(DATASET), "--policy", str(POLICY), "--data-folder", str(tmp_path)]
    with RunningServer(*arguments, "--engine", "eager", "--precision", "bfloat16") as server:
        client = server.wait_until_ready().client
        before = ranked(client)

        stored = client.put("/policies/towers", files=files_of(exported("two towers")))
        activated = client.post("/policies/towers/activate")

        assert stored.status_code == 201, stored.text
        assert activated.status_code == 409, activated.text
        assert "'bfloat16' is not for a network of one's own; expected float32" in activated.text
        assert ranked(client)["queries"] == before["queries"]
        assert client.get("/info").json()["policy"]["name"] == before["policy"]["name"]


def test_a_start_with_it_in_another_precision_ends_with_the_reason() -> None:
    policy = ["--dataset", str(DATASET), "--policy", str(exported("pairs"))]
    with RunningServer(*policy, "--precision", "bfloat16") as server:
        assert server.wait() != 0
        assert "'bfloat16' is not for a network of one's own" in server.log
