"""One page has the metrics of all replicas under the names of a single server, each labelled with its replica."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from proofrank.service.on_ray.replica_metrics import merged
from proofrank.service.telemetry.metrics import Kind, Outcome, ServiceMetrics
from proofrank.service.web.request_middleware import RequestMiddleware


def page(num_queries: int) -> bytes:
    metrics = ServiceMetrics()
    metrics.queries.inc(num_queries)
    metrics.record_ended(Kind.INTERACTIVE, Outcome.DONE, 0.1, 0.2, 0.3)
    return generate_latest(metrics.registry)


def test_each_replica_has_the_samples_that_it_has_alone() -> None:
    pages = {"Ranker-a": page(3), "Ranker-b": page(4)}

    families = {family.name: family for family in text_string_to_metric_families(merged(pages).decode())}

    for replica, own in pages.items():
        for family in text_string_to_metric_families(own.decode()):
            joined = families[family.name]
            assert (joined.type, joined.documentation) == (family.type, family.documentation)
            of_replica = [sample for sample in joined.samples if sample.labels["replica"] == replica]
            # Compared as text, because NaN, a mean without values, does not equal itself.
            assert [(sample.name, str(sample.value)) for sample in of_replica] == [
                (sample.name, str(sample.value)) for sample in family.samples
            ]
            assert [sample.labels for sample in of_replica] == [
                {**sample.labels, "replica": replica} for sample in family.samples
            ]


def test_sums_over_the_replicas_are_sums() -> None:
    (queries,) = (
        family
        for family in text_string_to_metric_families(merged({"a": page(3), "b": page(4)}).decode())
        if family.name == "proofrank_queries"
    )
    assert {sample.labels["replica"]: sample.value for sample in queries.samples} == {"a": 3, "b": 4}


def test_each_family_is_announced_once() -> None:
    lines = merged({"a": page(3), "b": page(4)}).decode().splitlines()
    announced = [line for line in lines if line.startswith("# TYPE")]
    assert len(announced) == len(set(announced))


def test_a_request_that_is_called_off_counts_as_that_of_a_client_that_has_gone() -> None:
    metrics = ServiceMetrics()

    async def never_answers(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        raise AssertionError("the client is gone and reads no answer")

    async def call_off() -> None:
        app = RequestMiddleware(never_answers, metrics, max_body_bytes=1, max_total_body_bytes=1, routes=[])
        scope = {"type": "http", "method": "GET", "path": "/jobs", "headers": [], "query_string": b""}
        # As Ray Serve does when the connection to its proxy is closed.
        answering = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.01)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering

    asyncio.run(call_off())

    counted = {"endpoint": "unknown", "status": "499"}
    name = "proofrank_request_duration_seconds_count"
    assert metrics.registry.get_sample_value(name, counted) == 1
