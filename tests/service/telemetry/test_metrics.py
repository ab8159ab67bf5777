"""Metrics count what happened, stay bounded whatever clients send, and only grow."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator import ReferenceEvaluator, Work
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.ranking import Corruptor, RankedQuery, corrupted_queries, rank_queries, report
from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.errors import DeadlinePassed, NotReady, QueueFull
from proofrank.service.scheduler import Snapshot, Task
from proofrank.service.settings.settings import load_settings
from proofrank.service.telemetry.metrics import Kind, Outcome, ServiceMetrics
from proofrank.service.telemetry.quality_metrics import MAX_POLICIES, MAX_RELATIONS
from proofrank.service.telemetry.rejections import Rejection
from proofrank.service.web.problems import problem_of
from tests.helpers.datasets import write_dataset
from tests.helpers.family import write_untrained_policy
from tests.helpers.limits import MAX_BODY_BYTES
from tests.helpers.scrapes import growth, scrape

QUERY = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}


def value(metrics: ServiceMetrics, name: str, **labels: str) -> float:
    """Returns one sample."""
    sample = metrics.registry.get_sample_value(name, labels)
    assert sample is not None, f"no {name} with {labels}"
    return sample


def labels_of(metrics: ServiceMetrics, family_name: str, label: str) -> list[str]:
    """Returns the values of a label in one family."""
    return [
        sample.labels[label]
        for family in metrics.registry.collect()
        if family.name == family_name
        for sample in family.samples
    ]


@pytest.fixture(scope="module")
def policy(policy_folder: Path, family: Dataset) -> Policy:
    """The policy of the tests."""
    return load_policy(policy_folder, family)


@pytest.fixture(scope="module")
def ranked(reference: ReferenceEvaluator, family: Dataset) -> list[RankedQuery]:
    """The family's test triples, ranked on both sides."""
    queries = corrupted_queries(family.splits["test"], ("head", "tail"), Corruptor(family))
    return rank_queries(reference, queries)


@pytest.fixture
def make_host(family_folder: Path, policy_folder: Path) -> Any:
    """Makes a host of the family with the original engine and the settings given."""

    def make(**more: Any) -> tuple[EvaluatorHost, ServiceMetrics]:
        values = {"dataset": family_folder, "policy": policy_folder, "engine": "original", **more}
        metrics = ServiceMetrics()
        return EvaluatorHost(load_settings(values, environment={}), metrics), metrics

    return make


def test_ranked_queries_are_counted_candidate_by_candidate(
    ranked: list[RankedQuery], family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    for _ in range(2):
        metrics.record_ranked(ranked, family, policy)
    outcomes = [
        ("corruption" if index else "positive", outcome)
        for query in ranked
        for index, outcome in enumerate(query.outcomes)
    ]
    for kind in ("positive", "corruption"):
        for proved in (True, False):
            expected = 2 * sum(of == kind and outcome.success == proved for of, outcome in outcomes)
            counted = value(metrics, "proofrank_candidates_total", kind=kind, proved=str(proved).lower())
            assert counted == expected
    for proved in (True, False):
        steps = [outcome.steps for _, outcome in outcomes if outcome.success == proved]
        labels = {"proved": str(proved).lower()}
        assert value(metrics, "proofrank_proof_steps_sum", **labels) == 2 * sum(steps)
        assert value(metrics, "proofrank_proof_steps_count", **labels) == 2 * len(steps)
        for bound in (1, 3, 20):
            at_most = 2 * sum(number <= bound for number in steps)
            assert value(metrics, "proofrank_proof_steps_bucket", **labels, le=f"{bound}.0") == at_most
    assert value(metrics, "proofrank_queries_total") == 2 * len(family.splits["test"])


def test_sums_over_counts_are_the_metrics_of_a_report(
    ranked: list[RankedQuery], family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    metrics.record_ranked(ranked, family, policy)
    own = {"dataset": "family", "policy": policy.name, "sha256": policy.content_hash}
    figures = report(ranked, family)
    for prefix, label, groups in (
        ("proofrank", "side", figures.by_side),
        ("proofrank_relation", "relation", figures.by_relation),
    ):
        for name, expected in groups.items():
            labels = {**own, label: name}
            rankings = value(metrics, f"{prefix}_rankings_total", **labels)
            reciprocal = value(metrics, f"{prefix}_reciprocal_rank_total", **labels)
            assert rankings == expected.rankings
            assert reciprocal / rankings == pytest.approx(expected.mrr)
            for k, share in expected.hits_at.items():
                hits = value(metrics, f"{prefix}_hits_total", **labels, k=str(k))
                assert hits / rankings == pytest.approx(share)
    assert value(metrics, "proofrank_last_request_mrr") == pytest.approx(figures.overall.mrr)
    assert value(metrics, "proofrank_last_request_hits_ratio", k="1") == figures.overall.hits_at[1]


def test_chunks_of_jobs_are_not_the_last_request(
    ranked: list[RankedQuery], family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    metrics.record_ranked(ranked, family, policy, Kind.JOB)
    assert math.isnan(value(metrics, "proofrank_last_request_mrr"))
    assert value(metrics, "proofrank_queries_total") == 3


def test_ever_more_policies_do_not_make_ever_more_series(
    ranked: list[RankedQuery], family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    for number in range(3 * MAX_POLICIES):
        uploaded = dataclasses.replace(policy, content_hash=f"{number:064d}")
        metrics.show_live_policy(family, uploaded, None)
        metrics.record_ranked(ranked, family, uploaded)
    kept = set(labels_of(metrics, "proofrank_rankings", "sha256"))
    assert kept == {f"{number:064d}" for number in range(2 * MAX_POLICIES, 3 * MAX_POLICIES)}
    assert len(labels_of(metrics, "proofrank_policy_info", "sha256")) == 1


def test_deleted_policies_lose_their_series_and_share_one(
    ranked: list[RankedQuery], family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    metrics.keep_policies({policy.name})
    metrics.record_ranked(ranked, family, policy)
    assert set(labels_of(metrics, "proofrank_rankings", "policy")) == {policy.name}
    metrics.keep_policies(set())
    assert labels_of(metrics, "proofrank_rankings", "policy") == []
    metrics.record_ranked(ranked, family, policy)
    metrics.keep_policies({"another"})
    assert set(labels_of(metrics, "proofrank_rankings", "policy")) == {"(deleted)"}


def test_a_policy_that_goes_live_has_zeros_before_it_ranks_and_the_one_before_it_is_told(
    family: Dataset, policy: Policy
) -> None:
    metrics = ServiceMetrics()
    metrics.keep_policies(set())
    metrics.show_live_policy(family, policy, None)
    own = {"dataset": "family", "policy": policy.name, "sha256": policy.content_hash}
    assert value(metrics, "proofrank_rankings_total", **own, side="head") == 0
    assert value(metrics, "proofrank_relation_rankings_total", **own, relation="parent") == 0
    better = dataclasses.replace(policy, content_hash="b" * 64)
    metrics.show_live_policy(family, better, policy)
    assert labels_of(metrics, "proofrank_policy_info", "sha256") == ["b" * 64]
    assert labels_of(metrics, "proofrank_previous_policy_info", "sha256") == [policy.content_hash]
    metrics.keep_policies(set())
    assert labels_of(metrics, "proofrank_previous_policy_info", "sha256") == []


def test_a_graph_of_many_relations_has_no_series_by_relation(tmp_path: Path) -> None:
    for number in (MAX_RELATIONS, MAX_RELATIONS + 1):
        folder = tmp_path / str(number)
        facts = [f"relation{index}(a,b)." for index in range(number)]
        write_dataset(folder, facts, ["rule:1:relation0(X,Y) -> relation1(X,Y)"], valid=[], test=facts[:1])
        many = load_dataset(folder)
        metrics = ServiceMetrics()
        metrics.show_live_policy(
            many, load_policy(write_untrained_policy(tmp_path / f"p{number}", folder), many), None
        )
        relations = labels_of(metrics, "proofrank_relation_rankings", "relation")
        assert len(relations) == (number if number <= MAX_RELATIONS else 0)


def test_the_work_of_the_evaluator_is_what_its_scheduler_last_saw() -> None:
    metrics = ServiceMetrics()
    assert value(metrics, "proofrank_ticks_total") == 0
    work = Work(ticks=10, rows_expanded=200, states_scored=90, states_padded=120, lanes_busy=60, lanes=80)
    snapshots = [Snapshot(work, 2, 6, 8)]
    metrics.watch(lambda: snapshots[-1])
    assert value(metrics, "proofrank_ticks_total") == 10
    assert value(metrics, "proofrank_lane_ticks_total", state="busy") == 60
    assert value(metrics, "proofrank_lane_ticks_total", state="idle") == 20
    assert value(metrics, "proofrank_padding_waste_ratio") == pytest.approx(0.25)
    assert value(metrics, "proofrank_lanes") == 8
    assert value(metrics, "proofrank_lanes_busy") == 6
    assert value(metrics, "proofrank_tasks") == 2
    snapshots.append(Snapshot(Work(ticks=11, rows_expanded=220, lanes=88), 0, 0, 8))
    assert value(metrics, "proofrank_ticks_total") == 11
    assert value(metrics, "proofrank_rows_expanded_total") == 220
    assert value(metrics, "proofrank_lanes_busy") == 0


def test_graphs_traced_after_the_warm_up_are_recompiles_and_those_of_it_are_not() -> None:
    def traced_anew(number: int) -> None:
        # Each shape makes another graph.
        torch.compile(lambda x: x + number, backend="eager", dynamic=False)(torch.zeros(number))

    metrics = ServiceMetrics()
    with metrics.compiling() as begin_bucket:
        begin_bucket(64)
        traced_anew(1)
        begin_bucket(512)
        traced_anew(2)
    assert value(metrics, "proofrank_recompiles_total") == 0
    assert value(metrics, "proofrank_compile_seconds", bucket="64") > 0
    assert value(metrics, "proofrank_compile_seconds", bucket="512") > 0
    traced_anew(3)
    assert value(metrics, "proofrank_recompiles_total") == 1
    with metrics.compiling() as begin_bucket:  # an evaluator that replaces a failed one
        begin_bucket(64)
        traced_anew(4)
    assert value(metrics, "proofrank_recompiles_total") == 1


def test_a_warm_up_that_fails_leaves_recompiles_counted() -> None:
    metrics = ServiceMetrics()
    with metrics.compiling() as begin_bucket:
        begin_bucket(64)
    with pytest.raises(MemoryShortError), metrics.compiling():
        raise MemoryShortError("no memory for another evaluator")
    torch.compile(lambda x: x + 5, backend="eager", dynamic=False)(torch.zeros(5))
    assert value(metrics, "proofrank_recompiles_total") == 1


def test_memory_and_the_process_are_measured() -> None:
    metrics = ServiceMetrics()
    assert value(metrics, "proofrank_device_memory_bytes", kind="resident") > 2**20
    assert value(metrics, "process_resident_memory_bytes") > 2**20


@pytest.mark.parametrize(
    ("request_body", "status", "reason"),
    [
        ({"queries": []}, 422, "invalid"),
        ({"queries": [QUERY], "padding": " " * MAX_BODY_BYTES}, 413, "too_large"),
        ({"queries": [QUERY] * 3, "deadline_ms": 1}, 504, "deadline"),
    ],
)
def test_refused_requests_are_counted_by_reason(
    client: httpx.Client, request_body: dict[str, Any], status: int, reason: str
) -> None:
    before = scrape(client)
    assert client.post("/rank", json=request_body).status_code == status
    after = scrape(client)
    grown = {
        other: growth(before, after, "proofrank_rejected_requests_total", reason=other) for other in Rejection
    }
    assert grown == {other: float(other == reason) for other in Rejection}


def test_what_is_not_found_is_not_refused(client: httpx.Client) -> None:
    before = scrape(client)
    assert client.get("/nothing").status_code == 404
    after = scrape(client)
    for reason in Rejection:
        assert growth(before, after, "proofrank_rejected_requests_total", reason=reason) == 0


def test_a_full_queue_and_a_server_that_is_not_ready_are_refusals_of_their_own(make_host: Any) -> None:
    host, metrics = make_host(max_candidates=1, max_queued_candidates=1)
    with pytest.raises(NotReady) as not_ready:
        _ = host.loaded
    assert problem_of(not_ready.value).rejection is Rejection.NOT_READY
    assert value(metrics, "proofrank_max_queued_candidates") == 1

    with pytest.raises(QueueFull) as full:
        host.room.check(2)
    assert problem_of(full.value).rejection is Rejection.QUEUE_FULL


def test_evaluations_are_counted_by_their_end_and_those_that_never_had_a_turn_by_how_long_they_waited(
    make_host: Any,
) -> None:
    host, metrics = make_host()

    async def run() -> None:
        await host.start()
        dataset = host.loaded.dataset
        queries = corrupted_queries(list(dataset.splits["test"]) * 200, ("head", "tail"), Corruptor(dataset))
        going = asyncio.create_task(host.rank(queries, 0))
        while not host.loaded.scheduler.snapshot.num_in_flight:
            await asyncio.sleep(0.001)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        with pytest.raises(DeadlinePassed):
            await host.rank(queries, 0, deadline=0.0)
        await host.rank(queries[:1], 0, is_job=True)
        await host.stop()

    asyncio.run(run())

    def count(name: str, kind: str, outcome: str) -> float:
        return value(metrics, f"proofrank_{name}_duration_seconds_count", kind=kind, outcome=outcome)

    ended = [("interactive", "cancelled"), ("interactive", "deadline"), ("job", "done")]
    for kind in Kind:
        for outcome in Outcome:
            assert count("queue", kind, outcome) == ((kind, outcome) in ended)
    assert count("execution", "interactive", "cancelled") == 1
    labels = {"kind": "interactive", "outcome": "cancelled"}
    assert value(metrics, "proofrank_execution_duration_seconds_sum", **labels) > 0
    # The deadline passed before the first tick: there is no execution time, rather than one of 0.
    assert count("execution", "interactive", "deadline") == 0
    assert count("first_result", "interactive", "deadline") == 0
    assert count("execution", "job", "done") == count("first_result", "job", "done") == 1


def test_a_request_that_is_given_up_before_its_turn_has_waited_all_that_time(make_host: Any) -> None:
    host, metrics = make_host()

    async def run() -> None:
        await host.start()
        dataset = host.loaded.dataset
        queries = corrupted_queries(list(dataset.splits["test"]) * 200, ("head", "tail"), Corruptor(dataset))
        # The original engine ranks one candidate at a time, and a suspect runs alone, so the second has no turn.
        first = Task([*queries[0].candidates] * 2000, host.active_policy)
        first.is_suspect = True
        host.loaded.scheduler.submit(first)
        while not host.loaded.scheduler.snapshot.num_in_flight:
            await asyncio.sleep(0.001)
        with pytest.raises(DeadlinePassed):
            await host.rank(queries[:1], 0, deadline=time.monotonic() + 0.3)
        first.future.cancel()
        await host.stop()

    asyncio.run(run())
    labels = {"kind": "interactive", "outcome": "deadline"}
    assert value(metrics, "proofrank_queue_duration_seconds_count", **labels) == 1
    assert 0.3 <= value(metrics, "proofrank_queue_duration_seconds_sum", **labels) < 5
    assert value(metrics, "proofrank_execution_duration_seconds_count", **labels) == 0
