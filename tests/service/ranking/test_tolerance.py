"""``mrr_tolerance`` of ``POST /rank``: the exact value always lies inside, whatever is asked beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from proofrank.core.graph import Dataset
from proofrank.service.client import Client, InvalidRequestError
from tests.helpers.answers import rank, rankings_of, refusal, without_time
from tests.helpers.family import write_untrained_policy
from tests.helpers.intervals import assert_metrics_hold, assert_ranks_hold, write_chain
from tests.helpers.job_client import ended, many_queries, submit
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

TIES = ("realistic", "optimistic", "pessimistic", "random")
CHAIN = [
    {"head": f"n{index:02}", "relation": "v", "tail": f"n{index + 2:02}", "side": "tail"}
    for index in range(0, 38, 2)
]


@pytest.fixture(scope="module")
def chain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose requests are large enough to be ranked in several parts."""
    folder = write_chain(tmp_path_factory.mktemp("chain") / "chain")
    policy = write_untrained_policy(folder.parent / "policy", folder)
    with RunningServer("--dataset", str(folder), "--policy", str(policy), "--engine", "eager") as running:
        yield running.wait_until_ready()


def test_the_exact_value_lies_inside_on_random_cases(client: httpx.Client, family: Dataset) -> None:
    random = np.random.default_rng(7)
    num_open = 0
    for number in range(60):
        queries = random_queries(family, random, int(random.integers(1, 9)))
        options: dict[str, Any] = {
            "corruptions": ["all", int(random.integers(0, 6))][number % 2],
            "filtered": bool(random.integers(2)),
            "ties": TIES[number % 4],
            "seed": int(random.integers(1_000)),
            "side": ("both", "head", "tail")[number % 3],
        }
        tolerance = float(random.choice([0.3, 0.1, 0.02, 0.0]))
        level = ("exact", "ranks", None)[int(random.integers(3))]
        exact = rank(client, queries, **options)

        found = rank(client, queries, **options, mrr_tolerance=tolerance, pruning=level)

        assert_metrics_hold(found["metrics"], exact["metrics"])
        for query, expected in zip(found["queries"], exact["queries"], strict=True):
            assert [query[name] for name in ("head", "relation", "tail")] == [
                expected[name] for name in ("head", "relation", "tail")
            ]
            assert_ranks_hold(query["rankings"], expected["rankings"])
        low, high = found["metrics"]["intervals"]["mrr"]
        assert high - low <= 2 * tolerance
        check_pruning(found, tolerance, level or "ranks")
        num_open += found["pruning"]["open"]
    assert num_open > 0


@pytest.mark.parametrize("beam_score", ["max", "logsumexp", "noisy-or"])
def test_the_exact_value_lies_inside_with_beams(
    client: httpx.Client, family: Dataset, beam_score: str
) -> None:
    random = np.random.default_rng(8)
    for number in range(8):
        queries = random_queries(family, random, 5)
        options = {"corruptions": "all", "beam": 4, "beam_score": beam_score, "ties": TIES[number % 4]}
        exact = rank(client, queries, **options, pruning="none")
        for tolerance in (0.1, 0):
            found = rank(client, queries, **options, mrr_tolerance=tolerance)
            assert_metrics_hold(found["metrics"], exact["metrics"])
            assert_ranks_hold(rankings_of(found), rankings_of(exact))


def random_queries(dataset: Dataset, random: np.random.Generator, number: int) -> list[dict[str, Any]]:
    """Triples of any constants, most of which are not true."""
    names = [dataset.vocabulary.argument_name(index) for index in range(1, 1 + 8)]
    return [
        {
            "head": str(random.choice(names)),
            "relation": str(random.choice(["ancestor", "parent"])),
            "tail": str(random.choice(names)),
        }
        for _ in range(number)
    ]


def check_pruning(answer: dict[str, Any], tolerance: float, level: str) -> None:
    """What was asked for is there, and each candidate took one of the ways, or is open."""
    pruning = answer["pruning"]
    assert (pruning["level"], pruning["mrr_tolerance"]) == (level, tolerance)
    num_decided = pruning["evaluated"] + pruning["unprovable"] + pruning["fallen_behind"]
    assert num_decided + pruning["open"] == answer["metrics"]["candidates"]
    assert pruning["open"] == answer["metrics"]["open"]


@pytest.mark.parametrize("ties", TIES)
def test_with_a_tolerance_of_0_every_rank_is_that_without_pruning(client: httpx.Client, ties: str) -> None:
    for queries in (many_queries(4), [{"head": "Zoë", "relation": "ancestor", "tail": "anna"}]):
        whole = rank(client, queries, corruptions="all", ties=ties, pruning="none")

        found = rank(client, queries, corruptions="all", ties=ties, mrr_tolerance=0)

        for interval, ranking in zip(rankings_of(found), rankings_of(whole), strict=True):
            assert interval["rank_low"] == interval["rank_high"] == ranking["rank"]
            assert (interval["open"], interval["proved"]) == (0, ranking["proved"])
        for name in ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank", "adjusted_mean_rank_index"):
            assert found["metrics"][name] == whole["metrics"][name]


def test_a_ranking_in_several_parts_holds_the_exact_value_and_takes_fewer_steps(
    chain_server: RunningServer,
) -> None:
    client = chain_server.client
    exact = rank(client, CHAIN, corruptions="all", pruning="ranks")

    found = rank(client, CHAIN, corruptions="all", mrr_tolerance=0.05)
    whole = rank(client, CHAIN, corruptions="all", mrr_tolerance=0)

    assert_metrics_hold(found["metrics"], exact["metrics"])
    assert_ranks_hold(rankings_of(found), rankings_of(exact))
    assert found["metrics"]["mrr"] is None
    assert whole["metrics"]["mrr"] == exact["metrics"]["mrr"]
    assert found["pruning"]["steps"] < whole["pruning"]["steps"]
    timing = found["timing"]
    assert 0 <= timing["queue_seconds"] <= timing["first_result_seconds"] < timing["execution_seconds"]


def test_beside_others_and_beside_a_job_the_answer_is_the_same(chain_server: RunningServer) -> None:
    client = chain_server.client
    alone = {
        tolerance: rank(client, CHAIN, corruptions="all", mrr_tolerance=tolerance)
        for tolerance in (0.02, 0.0)
    }
    exact = rank(client, CHAIN[:5], corruptions="all")
    job = submit(client, split="test", corruptions="all")

    def ask(tolerance: float | None) -> dict[str, Any]:
        if tolerance is None:
            return rank(client, CHAIN[:5], corruptions="all")
        return rank(client, CHAIN, corruptions="all", mrr_tolerance=tolerance)

    asked = [0.02, None, 0.0, None, 0.02, 0.0]
    with ThreadPoolExecutor(len(asked)) as threads:
        answers = list(threads.map(ask, asked))

    for tolerance, answer in zip(asked, answers, strict=True):
        assert without_time(answer) == without_time(exact if tolerance is None else alone[tolerance])
    assert ended(client, job["id"])["state"] == "done"


def test_a_small_request_does_not_wait_for_a_large_one(chain_server: RunningServer) -> None:
    client = chain_server.client
    with ThreadPoolExecutor(1) as threads:
        large = threads.submit(rank, client, CHAIN * 20, corruptions="all", mrr_tolerance=0)
        wait_for_queued(client)
        small = rank(client, CHAIN[:1], corruptions=2)
        assert not large.done()
        assert small["metrics"]["candidates"] == 3
        assert large.result()["metrics"]["open"] == 0


def test_a_request_that_is_late_is_refused_and_leaves_the_others_as_they_are(
    chain_server: RunningServer,
) -> None:
    client = chain_server.client
    body = {"queries": CHAIN * 20, "corruptions": "all", "mrr_tolerance": 0, "deadline_ms": 300}
    before = scrape(client)

    refused = refusal(client.post("/rank", json=body), 504)

    assert refused["detail"].startswith("the deadline has passed")
    wait_until_idle(client)
    labels = {"kind": "interactive", "outcome": "deadline"}
    assert growth(before, scrape(client), "proofrank_queue_duration_seconds_count", **labels) == 1
    assert rank(client, CHAIN[:2], corruptions=3, mrr_tolerance=0)["metrics"]["open"] == 0


def test_the_work_for_a_client_that_has_gone_ends(chain_server: RunningServer) -> None:
    client = chain_server.client
    body = json.dumps({"queries": CHAIN * 20, "corruptions": "all", "mrr_tolerance": 0}).encode()
    before = scrape(client)

    with chain_server.unfinished_request("/rank", body) as connection:
        connection.sendall(body)
        wait_for_queued(client)

    wait_until_idle(client)
    labels = {"kind": "interactive", "outcome": "cancelled"}
    assert growth(before, scrape(client), "proofrank_queue_duration_seconds_count", **labels) == 1


def wait_for_queued(client: httpx.Client) -> None:
    """Returns once a request is being ranked."""
    wait_for(client, lambda samples: samples["proofrank_queued_candidates", ()] > 0)


def wait_until_idle(client: httpx.Client) -> None:
    """Returns once no request is being ranked, and no candidate has a lane."""
    wait_for(
        client,
        lambda samples: (
            samples["proofrank_queued_candidates", ()] == 0 and samples["proofrank_lanes_busy", ()] == 0
        ),
    )


def wait_for(client: httpx.Client, condition: Any) -> None:
    ends = time.monotonic() + 300
    while not condition(scrape(client)):
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"mrr_tolerance": -0.1}, "mrr_tolerance", "greater than or equal to 0"),
        ({"mrr_tolerance": "0.1"}, "mrr_tolerance", "valid number"),
        ({"mrr_tolerance": True}, "mrr_tolerance", "valid number"),
        ({"mrr_tolerance": 0.1, "pruning": "none"}, "body", "expected 'exact' or 'ranks'"),
        ({"mrr_tolerance": 0.1, "return_candidates": True}, "body", "'return_candidates' needs exact ranks"),
        ({"mrr_tolerance": 0.1, "return_proof": True}, "body", "'return_proof' needs exact ranks"),
        ({"mrr_tolerance": 0.1, "corruptions": 5_000_000_000}, None, None),
    ],
)
def test_what_does_not_go_together_is_refused(
    client: httpx.Client, options: dict[str, Any], field: str | None, message: str | None
) -> None:
    answer = client.post("/rank", json={"queries": many_queries(1), **options})
    if field is None or message is None:
        assert answer.status_code == 200
        return
    (error,) = refusal(answer)["errors"]
    assert error["field"] == field
    assert message in error["message"]


def test_too_much_and_unknown_names_are_refused_as_without_a_tolerance(client: httpx.Client) -> None:
    for queries in (
        many_queries(51),
        many_queries(20),
        [{"head": "ana", "relation": "ancestor", "tail": "Zoë"}],
        [{"head": "anna", "relation": "ancestor", "tail": "ben", "candidates": ["eva"], "side": "tail"}],
    ):
        body = {"queries": queries, "corruptions": "all"}
        refused = refusal(client.post("/rank", json={**body, "mrr_tolerance": 0.1}))
        if "candidates" in queries[0]:
            assert "'candidates' of a query" in refused["detail"]
        else:
            exact = refusal(client.post("/rank", json=body))
            assert (refused["detail"], refused["errors"]) == (exact["detail"], exact["errors"])


def test_the_metrics_show_what_is_known(chain_server: RunningServer) -> None:
    client = chain_server.client
    rank(client, CHAIN, corruptions=2)  # so that there is an MRR of a last request
    before = scrape(client)
    found = rank(client, CHAIN, corruptions="all", mrr_tolerance=0.05)
    after = scrape(client)
    pruning = found["pruning"]

    def grown(name: str, **labels: str) -> float:
        return growth(before, after, f"proofrank_{name}_total", **labels)

    assert after["proofrank_last_request_mrr", ()] == before["proofrank_last_request_mrr", ()]
    assert grown("queries") == len(CHAIN)
    assert grown("pruned_candidates", lever="provability") == pruning["unprovable"]
    assert grown("pruned_candidates", lever="bound") == pruning["fallen_behind"]
    steps = sum(grown("trajectory_steps", pruned=pruned) for pruned in ("true", "false"))
    assert steps == pruning["steps"]
    num_positives = sum(grown("candidates", kind="positive", proved=proved) for proved in ("true", "false"))
    assert num_positives == len(CHAIN)
    assert (
        growth(
            before, after, "proofrank_execution_duration_seconds_count", kind="interactive", outcome="done"
        )
        == 1
    )

    whole = rank(client, CHAIN, corruptions="all", mrr_tolerance=0)
    assert scrape(client)["proofrank_last_request_mrr", ()] == whole["metrics"]["mrr"]


def test_the_client_reads_both_kinds_of_answers(server: RunningServer) -> None:
    queries = [("anna", "ancestor", "Zoë"), ("eva", "parent", "Zoë")]
    with Client(server.url) as speaker:
        exact = speaker.rank(queries, corruptions="all")
        found = speaker.rank(queries, corruptions="all", mrr_tolerance=0.05)
        with pytest.raises(InvalidRequestError, match="return_proof"):
            speaker.rank(queries, mrr_tolerance=0.05, return_proof=True)

    interval = found.metrics.intervals["mrr"]
    assert interval is not None
    assert interval[0] <= exact.metrics.mrr <= interval[1]
    assert found.metrics.by_side["head"].intervals["hits@1"] is not None
    assert [len(query.rankings) for query in found.queries] == [2, 2]
    assert (found.pruning.mrr_tolerance, found.pruning.open) == (0.05, found.metrics.open)
    pandas = pytest.importorskip("pandas")
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["side"]) == ["head", "tail"] * 2
    assert all(low <= high for low, high in zip(frame["rank_low"], frame["rank_high"], strict=True))


def test_each_hits_at_k_that_is_asked_for_has_an_interval(client: httpx.Client) -> None:
    queries = many_queries(4)
    exact = rank(client, queries, corruptions="all", hits_at=[2, 5])

    found = rank(client, queries, corruptions="all", hits_at=[2, 5], mrr_tolerance=0.1)

    for k in (2, 5):
        low, high = found["metrics"]["intervals"][f"hits@{k}"]
        assert low <= exact["metrics"]["hits_at"][str(k)] <= high


def test_the_openapi_document_has_both_answers(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/rank"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    names = [part["$ref"].rpartition("/")[2] for part in schema["anyOf"]]
    assert names == ["RankResponse", "IntervalRankResponse"]
    schemas = document["components"]["schemas"]
    assert schemas["Report"]["properties"]["mrr"]["type"] == "number"
    assert {"type": "null"} in schemas["IntervalReport"]["properties"]["mrr"]["anyOf"]
    assert "mrr_tolerance" in schemas["RankRequest"]["properties"]
    assert "mrr_tolerance" not in schemas["WhyRequest"]["properties"]
