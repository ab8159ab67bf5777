"""Policies of other shapes go live in a running server: no request is dropped, each is ranked as it would be alone."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from proofrank.core.evaluator import ReferenceEvaluator, settings_for
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries
from tests.helpers.answers import rank, rankings_of, refusal, without_time
from tests.helpers.family import write_untrained_policy
from tests.helpers.job_client import ended, results, submit
from tests.helpers.scrapes import scrape
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "george.1", "relation": "ancestor", "tail": "cara"},
    {"head": "eva", "relation": "parent", "tail": "Zoë"},
]
OPTIONS = {"corruptions": "all", "return_candidates": True, "return_proof": True}
SHAPES: dict[str, tuple[ProverSettings, dict[str, Any]]] = {
    "small-attention": (
        ProverSettings(max_depth=7),
        {
            "embedding_dim": 8,
            "hidden_dim": 24,
            "num_layers": 1,
            "atom_embedder": "attention",
            "l2_norm": True,
        },
    ),
    "usual": (ProverSettings(), {}),
    "deep-rnn": (
        ProverSettings(padding_states=20),
        {"embedding_dim": 24, "num_layers": 4, "atom_embedder": "rnn", "state_pooling": "transformer"},
    ),
}
"""Three policies: prover settings and shape of the network."""

NUM_REPEATS = 10
PATIENCE = 300.0


@pytest.fixture(scope="module")
def folders(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The policies' folders by their names."""
    root = tmp_path_factory.mktemp("policies")
    return {
        name: write_untrained_policy(root / name, family_folder, seed=seed, settings=settings, **shape)
        for seed, (name, (settings, shape)) in enumerate(SHAPES.items())
    }


def serve(dataset: Path, policy: Path, data: Path) -> RunningServer:
    """A server of one policy on the usual engine."""
    arguments = ("--dataset", str(dataset), "--policy", str(policy), "--data-folder", str(data))
    return RunningServer(*arguments, "--engine", "eager")


@pytest.fixture(scope="module")
def alone(
    family_folder: Path, folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a server of its own answers for each policy."""
    answers = {}
    for name, folder in folders.items():
        with serve(family_folder, folder, tmp_path_factory.mktemp("data")) as fresh:
            answers[name] = without_time(rank(fresh.wait_until_ready().client, QUERIES, **OPTIONS))
            assert answers[name]["policy"]["name"] == name
    return answers


@pytest.fixture(scope="module")
def server(
    family_folder: Path, folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that begins with the first policy and has all of them."""
    with serve(family_folder, folders["small-attention"], tmp_path_factory.mktemp("data")) as running:
        running.wait_until_ready()
        for name, folder in folders.items():
            answer = running.client.put(f"/policies/{name}", files=files_of(folder))
            assert answer.status_code in (200, 201), answer.text
        yield running


def activate(client: httpx.Client, name: str) -> None:
    """Activates a policy, which must succeed."""
    answer = client.post(f"/policies/{name}/activate")
    assert answer.status_code == 200, answer.text


class Stream:
    """Clients that ask without a pause until they are told to stop."""

    def __init__(self, url: str, num_clients: int) -> None:
        self._url = url
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._num_by_policy: Counter[str] = Counter()
        self._refused: list[httpx.Response] = []
        self._pool = ThreadPoolExecutor(num_clients)
        self._asking = [self._pool.submit(self._ask) for _ in range(num_clients)]

    def _ask(self) -> list[tuple[int, Any]]:
        answers: list[tuple[int, Any]] = []
        with httpx.Client(base_url=self._url, timeout=PATIENCE, trust_env=False) as client:
            while not self._stopped.is_set():
                answer = client.post("/rank", json={"queries": QUERIES, **OPTIONS})
                answers.append((answer.status_code, answer.json()))
                if answer.status_code != 200:
                    self._fail(answer)
                with self._changed:
                    self._num_by_policy[answer.json().get("policy", {}).get("name", "none")] += 1
                    self._changed.notify_all()
        return answers

    def _fail(self, answer: httpx.Response) -> None:
        with self._changed:
            self._refused.append(answer)
            self._changed.notify_all()

    def wait_for_more(self, name: str, number: int = 3) -> None:
        """Returns once ``number`` more answers have come that name this policy."""
        with self._changed:
            wanted = self._num_by_policy[name] + number
            assert self._changed.wait_for(
                lambda: self._num_by_policy[name] >= wanted or bool(self._refused), PATIENCE
            )
            assert not self._refused, self._refused[0].text

    def stop(self) -> list[tuple[int, Any]]:
        """Stops; returns status and body of each answer."""
        self._stopped.set()
        answers = [answer for asking in self._asking for answer in asking.result()]
        self._pool.shutdown()
        return answers


def test_while_policies_of_three_shapes_go_live_in_turn_each_request_is_answered_as_by_a_server_of_its_policy(
    server: RunningServer, alone: Mapping[str, Any]
) -> None:
    stream = Stream(server.url, num_clients=3)
    try:
        stream.wait_for_more("small-attention")
        for name in ("usual", "deep-rnn", "small-attention", "deep-rnn", "usual"):
            activate(server.client, name)
            stream.wait_for_more(name)
    finally:
        answers = stream.stop()
    assert {status for status, _ in answers} == {200}
    assert {body["policy"]["name"] for _, body in answers} == set(SHAPES)
    for _, body in answers:
        assert without_time(body) == alone[body["policy"]["name"]]
    assert "Traceback" not in server.log


def test_each_of_the_policies_ranks_as_the_reference_does(
    alone: Mapping[str, Any], folders: Mapping[str, Path], family: Dataset
) -> None:
    triples = [family.triple(query["head"], query["relation"], query["tail"]) for query in QUERIES]
    queries = list(corrupted_queries(triples, ("head", "tail"), Corruptor(family, number=None)))
    for name, folder in folders.items():
        policy = load_policy(folder, family)
        expected = rank_queries(ReferenceEvaluator(family, policy, settings_for(policy)), queries, seed=0)
        for ranking, ours in zip(rankings_of(alone[name]), expected, strict=True):
            assert ranking["rank"] == ours.ranks.realistic
            assert ranking["score"] == pytest.approx(ours.outcomes[0].score, abs=1e-4)


def test_a_job_pinned_to_a_policy_of_another_shape_is_ranked_by_it_beside_requests(
    server: RunningServer, alone: Mapping[str, Any]
) -> None:
    activate(server.client, "usual")
    stream = Stream(server.url, num_clients=1)
    try:
        queries = [{**query, "side": side} for query in QUERIES for side in ("head", "tail")] * NUM_REPEATS
        job = submit(server.client, queries=queries, corruptions="all", policy="deep-rnn")
        stream.wait_for_more("usual")
        done = ended(server.client, job["id"])
    finally:
        answers = stream.stop()
    assert (done["state"], done["policy"]["name"]) == ("done", "deep-rnn")
    ranks = [ranking["rank"] for ranking in results(server.client, job["id"])["rankings"]]
    expected = [ranking["rank"] for ranking in rankings_of(alone["deep-rnn"])]
    assert ranks == (expected * NUM_REPEATS)[: len(ranks)]
    assert len(ranks) >= len(expected)
    assert {json.dumps(without_time(body)) for _, body in answers} == {json.dumps(alone["usual"])}


def test_metrics_show_which_shapes_there_are_how_long_each_took_and_which_is_live(
    server: RunningServer,
) -> None:
    activate(server.client, "usual")
    activate(server.client, "deep-rnn")
    samples = scrape(server.client)
    shapes = {
        dict(labels)["shape"]: dict(labels)["live"]
        for name, labels in samples
        if name == "proofrank_evaluator_shapes"
    }
    assert {name.rsplit("-", 1)[0]: live for name, live in shapes.items()} == {
        "attention-sum-8x24x1": "false",
        "transe-sum-16x32x2": "false",
        "rnn-transformer-24x32x4": "true",
    }
    for shape in shapes:
        made = (("result", "made"), ("shape", shape))
        assert samples["proofrank_evaluator_makes_total", made] == 1
        assert samples["proofrank_evaluator_make_seconds", (("shape", shape),)] > 0
    info = server.client.get("/info").json()
    assert (info["policy"]["atom_embedder"], info["prover"]["padding_states"]) == ("rnn", 20)


def test_a_policy_whose_evaluator_has_no_room_in_memory_is_refused_with_figures_and_nothing_changes(
    server: RunningServer, family_folder: Path, tmp_path: Path
) -> None:
    activate(server.client, "usual")
    vast = write_untrained_policy(
        tmp_path / "vast", family_folder, settings=ProverSettings(padding_states=10**9)
    )
    stored = server.client.put("/policies/vast", files=files_of(vast))
    assert stored.status_code == 201
    try:
        refused = refusal(server.client.post("/policies/vast/activate"), 409)
        assert "policy 'vast' cannot go live: buckets of 512 lanes needs about " in refused["detail"]
        assert " GiB on cpu, of which " in refused["detail"]
        job = ended(server.client, submit(server.client, split="test", policy="vast")["id"])
        assert job["state"] == "failed"
        assert " GiB on cpu, of which " in job["error"]
        assert rank(server.client, QUERIES)["policy"]["name"] == "usual"
        made = {
            dict(labels)["result"]: value
            for (name, labels), value in scrape(server.client).items()
            if name == "proofrank_evaluator_makes_total" and value
        }
        assert made["refused"] >= 2
        again = server.client.put("/policies/new-name", files=files_of(vast), params={"activate": True})
        refusal(again, 409)
        names = {entry["name"] for entry in server.client.get("/policies").json()["policies"]}
        assert "new-name" not in names
    finally:
        server.client.delete("/policies/vast")


def test_a_restart_begins_with_the_shape_that_was_live(
    family_folder: Path, folders: Mapping[str, Path], alone: Mapping[str, Any], tmp_path: Path
) -> None:
    with serve(family_folder, folders["usual"], tmp_path) as first:
        client = first.wait_until_ready().client
        answer = client.put(
            "/policies/deep-rnn", files=files_of(folders["deep-rnn"]), params={"activate": True}
        )
        assert answer.status_code == 201, answer.text
    with serve(family_folder, folders["usual"], tmp_path) as second:
        began = time.monotonic()
        answer = rank(second.wait_until_ready().client, QUERIES, **OPTIONS)
        assert time.monotonic() - began < PATIENCE
    assert without_time(answer) == alone["deep-rnn"]
