"""Policies are uploaded, activated and deleted while the server answers; a refused policy leaves no trace."""

from __future__ import annotations

import http.client
import json
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries
from tests.helpers.answers import rankings_of, refusal, without_time
from tests.helpers.family import write_family, write_untrained_policy
from tests.helpers.scrapes import scrape
from tests.helpers.serving import REPOSITORY, RunningServer, clean_environment, run_command
from tests.helpers.uploads import Files, files_of, multipart, multipart_type

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
]
SLOW = {"queries": QUERIES * 60, "corruptions": "all"}
"""A request of about a second, with more queries than one of the others."""

MAX_BODY_BYTES = 20_000
"""Fewer bytes than a policy has."""
MAX_POLICY_BYTES = 3 * 2**20
MAX_POLICIES = 3


@pytest.fixture(scope="module")
def other_folder(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with other weights."""
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "other", family_folder, seed=1)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's data folder."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def arguments(family_folder: Path, policy_folder: Path, data_folder: Path) -> list[str]:
    """The server's arguments."""
    return [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"),
        *("--data-folder", str(data_folder), "--max-body-bytes", str(MAX_BODY_BYTES)),
        *("--max-policy-bytes", str(MAX_POLICY_BYTES), "--max-policies", str(MAX_POLICIES)),
    ]


@pytest.fixture(scope="module")
def server(arguments: list[str]) -> Iterator[RunningServer]:
    """A server whose policies these tests change."""
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> httpx.Client:
    """A client of that server."""
    return server.client


@pytest.fixture(autouse=True)
def as_before(client: httpx.Client, data_folder: Path, policy_folder: Path) -> Iterator[None]:
    """Checks after each test that no upload is left, and restores the server's first state."""
    yield
    deadline = time.monotonic() + 120
    while any((data_folder / "incoming").iterdir()):
        assert time.monotonic() < deadline, "something is left of an upload"
        time.sleep(0.01)
    policies = client.get("/policies").json()["policies"]
    stored = {folder.name for folder in (data_folder / "policies").iterdir()}
    assert {entry["sha256"] for entry in policies} <= stored
    put(client, "untrained", files_of(policy_folder), activate=True)
    for entry in policies:
        if entry["name"] != "untrained":
            assert client.delete(f"/policies/{entry['name']}").status_code == 204
    assert len(list((data_folder / "policies").iterdir())) == 1


def put(client: httpx.Client, name: str, files: Files, activate: bool = False) -> dict[str, Any]:
    """Uploads a policy, which must be accepted."""
    answer = client.put(f"/policies/{name}", files=files, params={"activate": activate})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def activated(client: httpx.Client, name: str) -> dict[str, Any]:
    """Activates a policy, which must succeed."""
    answer = client.post(f"/policies/{name}/activate")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ranked(client: httpx.Client, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns an answer with ranks."""
    answer = client.post("/rank", json=request or {"queries": QUERIES, "corruptions": "all"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_at_the_start_the_policy_of_the_setting_is_stored_under_its_folders_name_and_live(
    client: httpx.Client, policy_folder: Path
) -> None:
    listed = client.get("/policies").json()
    (entry,) = listed["policies"]
    assert listed["active"] == entry["name"] == "untrained"
    assert entry["active"] is True
    assert entry["sha256"] == load_policy(policy_folder).content_hash
    assert entry["bytes"] == sum(len(content) for content in files_of(policy_folder).values())
    age = datetime.now(UTC) - datetime.fromisoformat(entry["created"])
    assert 0 <= age.total_seconds() < 600


def test_an_upload_is_stored_but_not_live_until_it_is_activated(
    client: httpx.Client, other_folder: Path
) -> None:
    answer = client.put("/policies/epoch-1", files=files_of(other_folder))
    assert answer.status_code == 201
    assert answer.json()["sha256"] == load_policy(other_folder).content_hash
    assert answer.json()["active"] is False
    assert ranked(client)["policy"]["name"] == "untrained"
    assert activated(client, "epoch-1") == {**answer.json(), "active": True}
    assert ranked(client)["policy"] == {"name": "epoch-1", "sha256": answer.json()["sha256"]}
    assert client.get("/policies").json()["active"] == "epoch-1"
    assert client.get("/info").json()["policy"]["name"] == "epoch-1"


def test_the_same_upload_again_changes_nothing_and_other_content_replaces_it(
    client: httpx.Client, policy_folder: Path, other_folder: Path
) -> None:
    first = put(client, "model", files_of(other_folder))
    again = client.put("/policies/model", files=files_of(other_folder))
    assert (again.status_code, again.json()) == (200, first)
    replaced = client.put("/policies/model", files=files_of(policy_folder))
    assert replaced.status_code == 200
    assert replaced.json()["sha256"] == load_policy(policy_folder).content_hash


def test_an_activated_policy_ranks_as_it_does_in_this_process(
    client: httpx.Client, other_folder: Path, family: Dataset
) -> None:
    before = ranked(client)
    put(client, "epoch-1", files_of(other_folder), activate=True)
    after = ranked(client)
    evaluator = ReferenceEvaluator(family, load_policy(other_folder, family), ProverSettings())
    triples = [family.triple(query["head"], query["relation"], query["tail"]) for query in QUERIES]
    expected = rank_queries(
        evaluator, corrupted_queries(triples, ("head", "tail"), Corruptor(family, number=None)), seed=0
    )
    for ranking, earlier, ours in zip(rankings_of(after), rankings_of(before), expected, strict=True):
        assert ranking["score"] == pytest.approx(ours.outcomes[0].score, abs=1e-5)
        assert ranking["rank"] == ours.ranks.realistic
        assert ranking["score"] != pytest.approx(earlier["score"], abs=1e-5)


def test_requests_that_have_begun_are_answered_wholly_by_the_policy_they_began_with(
    client: httpx.Client, server: RunningServer, other_folder: Path
) -> None:
    put(client, "epoch-1", files_of(other_folder))
    alone = ranked(client, SLOW)
    with (
        ThreadPoolExecutor(2) as pool,
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as second,
    ):
        running = pool.submit(ranked, client, SLOW)
        waiting = pool.submit(ranked, second, SLOW)
        num_candidates = 2 * alone["metrics"]["candidates"]
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as trainer:
            while scrape(trainer)["proofrank_queued_candidates", ()] < num_candidates:
                assert not running.done()
            activated(trainer, "epoch-1")
            assert not running.done(), "the request ended too early to show anything"
            assert ranked(trainer)["policy"]["name"] == "epoch-1"
        for answer in (running.result(), waiting.result()):
            assert answer["policy"]["name"] == "untrained"
            assert without_time(answer) == without_time(alone)


def test_an_upload_to_the_live_name_leaves_the_old_content_live_until_it_is_activated(
    client: httpx.Client, policy_folder: Path, other_folder: Path
) -> None:
    old, new = (load_policy(folder).content_hash for folder in (policy_folder, other_folder))
    assert put(client, "untrained", files_of(other_folder))["active"] is False
    listed = client.get("/policies").json()
    assert listed["active"] == "untrained"
    assert [(entry["sha256"], entry["active"]) for entry in listed["policies"]] == [(new, False)]
    assert ranked(client)["policy"]["sha256"] == old
    assert refusal(client.delete("/policies/untrained"), 409)
    assert activated(client, "untrained")["active"] is True
    assert ranked(client)["policy"]["sha256"] == new


def test_a_method_that_a_path_does_not_take_is_refused_with_all_that_it_takes(client: httpx.Client) -> None:
    answer = client.get("/policies/untrained")
    refusal(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"PUT", "DELETE"}


def test_a_policy_that_is_live_or_unknown_cannot_be_deleted(client: httpx.Client) -> None:
    live = refusal(client.delete("/policies/untrained"), 409)
    assert live["detail"] == "policy 'untrained' is live; activate another one first"
    unknown = refusal(client.delete("/policies/untraned"), 404)
    assert unknown["detail"] == "no policy is called 'untraned'; did you mean 'untrained'?"
    assert refusal(client.post("/policies/nothing/activate"), 404)


def test_deleting_a_name_removes_its_content_unless_another_name_has_it(
    client: httpx.Client, other_folder: Path, data_folder: Path
) -> None:
    content = put(client, "one", files_of(other_folder))["sha256"]
    put(client, "two", files_of(other_folder))
    assert client.delete("/policies/one").status_code == 204
    assert [entry["name"] for entry in client.get("/policies").json()["policies"]] == ["two", "untrained"]
    assert activated(client, "two")["sha256"] == content
    activated(client, "untrained")
    assert client.delete("/policies/two").status_code == 204
    assert not (data_folder / "policies" / content).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "%2e%2e", "%2e%2e%2f", "..%2f..%2fetc", "a%2fb", "a%00b", "%00"),
        *(".hidden", "a%20b", "%C3%BC", "-a", "x" * 65),
    ],
)
def test_a_name_that_could_be_a_path_or_is_odd_is_refused(
    server: RunningServer, other_folder: Path, name: str, data_folder: Path
) -> None:
    url = httpx.URL(server.url)
    outside = sorted(path.name for path in data_folder.parent.iterdir())
    for method, path in (
        ("PUT", f"/policies/{name}"),
        ("POST", f"/policies/{name}/activate"),
        ("DELETE", f"/policies/{name}"),
    ):
        # Not through httpx, which would normalise the path.
        connection = http.client.HTTPConnection(url.host, url.port, timeout=60)
        body = multipart(files_of(other_folder)) if method == "PUT" else None
        connection.request(method, path, body, multipart_type() if body else {})
        answer = connection.getresponse()
        # A 307 redirects to the same path without the trailing slash, which is refused too.
        assert answer.status in (307, 404, 405, 422)
        assert answer.status == 307 or answer.getheader("Content-Type") == "application/problem+json"
        connection.close()
    assert sorted(path.name for path in data_folder.parent.iterdir()) == outside
    assert [entry["name"] for entry in server.client.get("/policies").json()["policies"]] == ["untrained"]


def test_a_name_of_64_letters_digits_dots_dashes_and_underscores_is_taken(
    client: httpx.Client, other_folder: Path
) -> None:
    name = ("Run-7.epoch_12" * 5)[:64]
    assert put(client, name, files_of(other_folder))["name"] == name


def changed_config(folder: Path, part: str, **values: Any) -> bytes:
    """Returns the folder's config with other values in one part."""
    config = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    config[part].update(values)
    return json.dumps(config).encode()


def another_graph(folder: Path) -> Files:
    """Returns a valid policy of a graph with one more constant."""
    write_family(folder / "graph")
    with (folder / "graph" / "train.txt").open("a", encoding="utf-8") as file:
        file.write("parent(anna,newborn).\n")
    load_dataset(folder / "graph")
    return files_of(write_untrained_policy(folder / "policy", folder / "graph"))


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ("no config", "config", "missing; expected multipart/form-data with the files weights, config, voc"),
        ("a part too many", "body", "no such part; expected multipart/form-data with the files"),
        ("no safetensors", "weights", "policy.safetensors: not a safetensors file: "),
        ("a pickle", "weights", "policy.safetensors: not a safetensors file: "),
        ("half of the weights", "weights", "policy.safetensors: not a safetensors file: "),
        ("empty weights", "weights", "policy.safetensors: not a safetensors file: "),
        ("no JSON", "config", "policy.json: not JSON: "),
        ("another format", "config", "policy.json: 'format' is None; expected 'proofrank-policy-1'"),
        ("a config of other weights", "weights", "by the config and the vocabulary"),
        ("no vocabulary", "vocabulary", "vocab.json: 'predicates' is no list of names"),
        ("another graph", "vocabulary", "the graph lacks 1 constant ('newborn') of the policy"),
        (
            "too few variables",
            "config",
            "may need 40 variables (max_depth 40 x 1 new variables of a rule); policy 'model' embeds only 39",
        ),
    ],
)
def test_an_upload_that_cannot_be_used_is_refused_with_what_differs(
    client: httpx.Client,
    policy_folder: Path,
    family_folder: Path,
    tmp_path: Path,
    change: str,
    field: str,
    message: str,
) -> None:
    files = files_of(policy_folder)
    match change:
        case "no config":
            del files["config"]
        case "a part too many":
            files["optimizer"] = b"state"
        case "no safetensors":
            files["weights"] = b"garbage" * 1000
        case "a pickle":
            files["weights"] = b"\x80\x04cposix\nsystem\n(S'touch /tmp/owned'\ntR."
        case "half of the weights":
            files["weights"] = files["weights"][: len(files["weights"]) // 2]
        case "empty weights":
            files["weights"] = b""
        case "no JSON":
            files["config"] = b"{" * 100_000
        case "another format":
            files["config"] = b"{}"
        case "a config of other weights":
            files["config"] = changed_config(policy_folder, "network", embedding_dim=8)
        case "no vocabulary":
            files["vocabulary"] = b"{}"
        case "another graph":
            files = another_graph(tmp_path)
        case "too few variables":
            settings = ProverSettings(max_depth=40)
            files = files_of(
                write_untrained_policy(tmp_path / "few", family_folder, settings=settings, max_variables=39)
            )
    body = refusal(client.put("/policies/model", files=files, params={"activate": True}))
    assert body["errors"][0]["field"] == field
    assert message in body["errors"][0]["message"]
    assert "/" not in body["detail"].replace("multipart/form-data", ""), (
        "answers must not show paths of the server"
    )
    assert client.get("/policies").json()["active"] == "untrained"
    assert ranked(client)["policy"]["name"] == "untrained"


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"{}", {"Content-Type": "application/json"}, "expected multipart/form-data with the files weights,"),
        (b"{}", {}, "expected multipart/form-data with the files weights,"),
        (b"--boundary--\r\n", {"Content-Type": "multipart/form-data"}, "expected multipart/form-data"),
        (b"no boundary", multipart_type(), "not multipart/form-data: "),
        (b"", multipart_type("x" * 500), "not multipart/form-data: "),
        (multipart({"config": b"{}"})[:-15], multipart_type(), "missing; expected"),
    ],
)
def test_a_body_that_is_no_form_of_files_is_refused(
    client: httpx.Client, body: bytes, headers: dict[str, str], message: str
) -> None:
    refused = refusal(client.put("/policies/model", content=body, headers=headers))
    assert message in refused["errors"][0]["message"]


def test_a_body_that_ends_in_the_middle_or_has_a_part_twice_is_refused(
    client: httpx.Client, policy_folder: Path
) -> None:
    whole = multipart(files_of(policy_folder))
    cut = refusal(client.put("/policies/model", content=whole[:-20], headers=multipart_type()))
    assert cut["errors"][0]["message"] == "ends before its closing boundary"
    twice = multipart({"config": b"{}"})[: -len("--boundary--\r\n")] + whole
    refused = refusal(client.put("/policies/model", content=twice, headers=multipart_type()))
    assert (refused["errors"][0]["field"], refused["errors"][0]["message"]) == ("config", "comes twice")


def test_an_upload_over_the_limit_is_refused_whether_its_size_is_declared_or_not(
    client: httpx.Client, policy_folder: Path
) -> None:
    files = files_of(policy_folder)
    body = multipart({**files, "weights": files["weights"] + b" " * MAX_POLICY_BYTES})
    declared = client.put("/policies/model", content=body, headers=multipart_type())
    assert str(MAX_POLICY_BYTES) in refusal(declared, 413)["detail"]
    pieces = (body[start : start + 2**18] for start in range(0, len(body), 2**18))
    undeclared = client.put("/policies/model", content=pieces, headers=multipart_type())
    assert str(MAX_POLICY_BYTES) in refusal(undeclared, 413)["detail"]


@pytest.mark.parametrize("part", ["config", "vocabulary"])
def test_a_part_larger_than_any_right_one_is_refused_before_it_is_parsed(
    client: httpx.Client, policy_folder: Path, part: str
) -> None:
    files = {**files_of(policy_folder), part: b"[" + b"1," * 2**20 + b"1]"}
    body = refusal(client.put("/policies/model", files=files), 413)
    assert body["detail"].startswith(f"{part} is larger than ")


def test_more_than_max_policies_names_are_refused_and_the_others_may_still_be_replaced(
    client: httpx.Client, other_folder: Path
) -> None:
    for number in range(1, MAX_POLICIES):
        put(client, f"epoch-{number}", files_of(other_folder))
    refused = refusal(client.put("/policies/one-more", files=files_of(other_folder)), 409)
    assert refused["detail"] == "there are 3 policies, and max_policies is 3; delete one first"
    put(client, "epoch-1", files_of(other_folder))


def test_without_room_on_the_disk_an_upload_is_refused_with_507_and_the_next_one_works(
    client: httpx.Client, server: RunningServer, other_folder: Path
) -> None:
    unlimited = resource.prlimit(server.process_id, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    try:
        refused = refusal(client.put("/policies/model", files=files_of(other_folder)), 507)
        assert refused["detail"].startswith("the data folder has no room for it: ")
    finally:
        resource.prlimit(server.process_id, resource.RLIMIT_FSIZE, unlimited)
    assert [entry["name"] for entry in client.get("/policies").json()["policies"]] == ["untrained"]
    put(client, "model", files_of(other_folder), activate=True)
    assert ranked(client)["policy"]["name"] == "model"


def test_of_concurrent_uploads_of_one_name_one_stays_whole(
    client: httpx.Client, server: RunningServer, policy_folder: Path, other_folder: Path
) -> None:
    contents = [files_of(policy_folder), files_of(other_folder)] * 2

    def upload(files: Files) -> httpx.Response:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as own:
            return own.put("/policies/model", files=files, params={"activate": True})

    for _ in range(3):
        with ThreadPoolExecutor(len(contents)) as pool:
            answers = list(pool.map(upload, contents))
        assert {answer.status_code for answer in answers} <= {200, 201}
        (entry,) = (entry for entry in client.get("/policies").json()["policies"] if entry["name"] == "model")
        assert entry["active"] is True
        assert ranked(client)["policy"] == {"name": "model", "sha256": entry["sha256"]}


def test_clients_that_vanish_in_the_middle_leave_nothing_and_too_many_at_once_are_told_to_come_again(
    client: httpx.Client, server: RunningServer, other_folder: Path, data_folder: Path
) -> None:
    url = httpx.URL(server.url)
    body = multipart(files_of(other_folder))
    head = f"PUT /policies/model HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {multipart_type()['Content-Type']}\r\n\r\n"
    halves = [socket.create_connection((url.host, url.port or 0), timeout=60) for _ in range(4)]
    for connection in halves:
        connection.sendall(head.encode() + body[:1000])
    while len(list((data_folder / "incoming").iterdir())) < len(halves):
        time.sleep(0.01)
    refused = client.put("/policies/model", files=files_of(other_folder))
    assert "4 policies are being uploaded" in refusal(refused, 429)["detail"]
    assert refused.headers["retry-after"] == "1"
    for connection in halves:
        connection.close()
    while any((data_folder / "incoming").iterdir()):
        time.sleep(0.01)
    put(client, "model", files_of(other_folder))
    assert "Traceback" not in server.log


def test_metrics_show_the_live_policy_alone_and_forget_policies_that_are_deleted(
    client: httpx.Client, other_folder: Path
) -> None:
    before = scrape(client)
    content = put(client, "epoch-1", files_of(other_folder), activate=True)["sha256"]
    ranked(client)
    samples = scrape(client)
    live = [labels for name, labels in samples if name == "proofrank_policy_info"]
    assert live == [(("policy", "epoch-1"), ("sha256", content))]
    assert any(
        ("policy", "epoch-1") in labels for name, labels in samples if name == "proofrank_rankings_total"
    )
    activated(client, "untrained")
    client.delete("/policies/epoch-1")
    after = scrape(client)
    assert not any(("policy", "epoch-1") in labels for _, labels in after)
    for action, number in (("upload", 1), ("activate", 2), ("delete", 1)):
        key = ("proofrank_policy_changes_total", (("action", action),))
        assert after[key] - before.get(key, 0) == number


def test_a_request_that_outlives_its_policy_counts_under_no_name(
    client: httpx.Client, server: RunningServer, other_folder: Path
) -> None:
    put(client, "epoch-1", files_of(other_folder), activate=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ranked, client, SLOW)
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as trainer:
            while scrape(trainer)["proofrank_queued_candidates", ()] == 0:
                assert not running.done()
            activated(trainer, "untrained")
            assert trainer.delete("/policies/epoch-1").status_code == 204
        assert running.result()["policy"]["name"] == "epoch-1"
    policies = {
        dict(labels)["policy"] for name, labels in scrape(client) if name == "proofrank_rankings_total"
    }
    assert "(deleted)" in policies
    assert "epoch-1" not in policies


def test_a_second_server_on_the_data_folder_is_refused(arguments: list[str], data_folder: Path) -> None:
    ended = run_command("serve", "--port", "0", *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"proofrank: --data-folder is '{data_folder}': data folder {data_folder} is in use by another server (process "
    )
    assert "Traceback" not in ended.stderr


def test_the_example_of_a_training_job_uploads_and_ranks_after_every_epoch(
    client: httpx.Client, server: RunningServer, family_folder: Path, policy_folder: Path
) -> None:
    options = {"url": server.url, "dataset": family_folder, "policy": policy_folder, "epochs": 2}
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    ended = subprocess.run(
        [sys.executable, "-m", "examples.hot_swap", *flags],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    live = ranked(client)["policy"]
    assert live["name"] == "in-training"
    assert re.fullmatch(r"epoch 1: MRR [01]\.\d{3} by in-training [0-9a-f]{12}", first)
    assert last.startswith("epoch 2: MRR ")
    assert last.endswith(live["sha256"][:12])
    assert first.split()[-1] != last.split()[-1]
