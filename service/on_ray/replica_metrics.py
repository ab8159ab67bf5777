"""The metrics of many replicas as one page, each sample labelled with its replica."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "replica"


def merged(by_replica: Mapping[str, bytes]) -> bytes:
    """Merges the pages of all replicas into one, with the label ``replica`` on each sample.

    Args:
        by_replica: page of each replica, in Prometheus' text form.
    """
    families: dict[str, Metric] = {}
    for replica, page in by_replica.items():
        for family in text_string_to_metric_families(page.decode("utf-8")):
            # All replicas have the same families; only the samples differ.
            joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            joined.samples += [
                sample._replace(labels={**sample.labels, LABEL: replica}) for sample in family.samples
            ]
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
