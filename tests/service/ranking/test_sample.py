"""``POST /sample``: the numbers of this process bit for bit, beside other requests, within limits, until cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import proofrank
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.client import Client, ClientError, InvalidRequestError
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

TRIPLES = [("anna", "ancestor", "Zoë"), ("george.1", "ancestor", "cara"), ("ben", "parent", "Zoë")]


@pytest.fixture(scope="module")
def roomy(family_folder: Path, policy_folder: Path) -> Iterator[RunningServer]:
    """A server that takes large requests."""
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments, "--max-candidates", "300000") as running:
        yield running.wait_until_ready()


MANY = {
    "triples": [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in TRIPLES],
    "samples": 90_000,
}


def named(triples: list[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [dict(zip(("head", "relation", "tail"), triple, strict=True)) for triple in triples]


@pytest.fixture
def speaker(server: RunningServer) -> Client:
    """The client of the package."""
    return Client(str(server.client.base_url))


def test_the_numbers_are_those_of_this_process(
    speaker: Client, family: Dataset, policy_folder: Path, server: RunningServer
) -> None:
    policy = load_policy(policy_folder, family)
    before = scrape(server.client)
    with speaker:
        answer = speaker.sample(TRIPLES, samples=50, seed=7, confidence=0.9)
        alone = speaker.sample(TRIPLES[1:2], samples=50, seed=7, confidence=0.9)
        other = speaker.sample(TRIPLES, samples=50, seed=8)

    expected = proofrank.sample(family, policy, TRIPLES, samples=50, seed=7, confidence=0.9)
    assert [vars(one) for one in answer.triples] == [vars(one) for one in expected]
    assert alone.triples == answer.triples[1:2], "what is drawn beside it changes nothing"
    assert other.triples != answer.triples
    assert (answer.seed, answer.confidence, answer.engine) == (7, 0.9, "eager")
    assert (answer.dataset.sha256, answer.policy.sha256) == (family.content_hash, policy.content_hash)
    assert 0 < sum(one.proved for one in answer.triples) < 150, "shares that say something"
    num_proved = sum(one.proved for two in (answer, alone, other) for one in two.triples)
    name, after = "proofrank_sampled_trajectories_total", scrape(server.client)
    assert growth(before, after, name, proved="true") == num_proved
    assert growth(before, after, name, proved="false") == 350 - num_proved


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"samples": 0}, "samples", "greater than or equal to 1"),
        ({"samples": 10**7}, "samples", "less than or equal to 1000000"),
        ({"samples": 900_000}, "samples", "trajectories in one request"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"confidence": 1.0}, "confidence", "less than 1"),
        ({"confidence": 95}, "confidence", "less than 1"),
        ({"triples": []}, "triples", "at least 1"),
        ({"triples": named([("ana", "ancestor", "Zoë")])}, "triples[0].head", "unknown constant"),
        ({"triples": named(TRIPLES * 1000)}, "triples", "too many: at most"),
        ({"side": "head"}, "side", "no such field"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    fields: dict[str, Any], field: str, message: str, server: RunningServer
) -> None:
    answer = server.client.post("/sample", json={"triples": named(TRIPLES), **fields})

    assert answer.status_code == 422
    (error, *_) = answer.json()["errors"]
    assert error["field"] == field
    assert message in error["message"], answer.text


def test_the_client_refuses_what_is_no_triple(speaker: Client) -> None:
    with speaker:
        with pytest.raises(ClientError, match=r"triples\[0\] is 'anna'; expected \(head, relation, tail\)"):
            speaker.sample(["anna"])  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidRequestError, match="unknown constant"):
            speaker.sample([("ana", "ancestor", "Zoë")])


def test_others_are_answered_meanwhile_and_a_client_that_goes_frees_its_lanes(roomy: RunningServer) -> None:
    gone = threading.Event()

    def ask_and_go() -> None:
        with httpx.Client(base_url=roomy.client.base_url, timeout=3.0) as client:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/sample", json=MANY)
            gone.set()

    asking = threading.Thread(target=ask_and_go)
    asking.start()
    while roomy.client.get("/activity").json()["queued_candidates"] == 0 and not gone.is_set():
        time.sleep(0.01)
    began = not gone.is_set()
    answer = roomy.client.post("/rank", json={"queries": named(TRIPLES[:1]), "corruptions": 3})
    is_beside = not gone.is_set()
    asking.join()

    assert answer.status_code == 200
    assert began and is_beside, "the small request was answered while the large one ran"
    ends = time.monotonic() + 300
    while (activity := roomy.client.get("/activity").json())["tasks"] or activity["queued_candidates"]:
        assert time.monotonic() < ends, activity
        time.sleep(0.05)


def test_a_deadline_ends_it(roomy: RunningServer) -> None:
    answer = roomy.client.post("/sample", json={**MANY, "deadline_ms": 300})

    assert answer.status_code == 504
