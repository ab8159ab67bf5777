"""One page has the metrics of all replicas under the names that a single server has, each with its replica."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Kind, ServiceMetrics
from service.on_ray.replica_metrics import merged


def page(num_queries: int) -> bytes:
    metrics = ServiceMetrics()
    metrics.queries.inc(num_queries)
    metrics.record_done(Kind.INTERACTIVE, 0.1, 0.2, 0.3)
    return generate_latest(metrics.registry)


def test_each_replica_has_the_samples_that_it_has_alone() -> None:
    pages = {"Ranker-a": page(3), "Ranker-b": page(4)}

    families = {family.name: family for family in text_string_to_metric_families(merged(pages).decode())}

    for replica, own in pages.items():
        for family in text_string_to_metric_families(own.decode()):
            joined = families[family.name]
            assert (joined.type, joined.documentation) == (family.type, family.documentation)
            of_replica = [sample for sample in joined.samples if sample.labels["replica"] == replica]
            # As text: NaN, which a mean without values is, is not equal to itself.
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
