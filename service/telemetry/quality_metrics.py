"""Sums of reciprocal ranks and hits for Prometheus, by policy, side and relation.

Sums and counts, unlike means, can be averaged over any window, any set of relations and any number of servers. Clients
may upload policies without end, so only the last few are exported.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.ranking import HITS_AT, SIDES, RankedQuery

MAX_POLICIES = 10
"""Maximum number of policies with series; a new one replaces the least recently used."""

MAX_RELATIONS = 100
"""Maximum number of relations of a graph for which each gets series of its own."""

DELETED = "(deleted)"
"""Label for the policies that are no longer stored; no policy can have this name."""


class PolicyKey(NamedTuple):
    """Labels of the series of one policy on one dataset; ``sha256`` distinguishes contents under one name."""

    dataset: str
    policy: str
    sha256: str


@dataclass
class Sums:
    """The sums of the rankings with one set of labels."""

    rankings: int = 0
    reciprocal_rank: float = 0.0
    hits: dict[int, int] = field(default_factory=lambda: dict.fromkeys(HITS_AT, 0))

    def add(self, rank: float) -> None:
        """Counts one ranking."""
        self.rankings += 1
        self.reciprocal_rank += 1 / rank
        for k in HITS_AT:
            self.hits[k] += rank <= k


@dataclass
class PolicySums:
    """The sums of one policy, by side and by relation."""

    by_side: dict[str, Sums]
    by_relation: dict[str, Sums]


class QualityCollector(Collector):
    """Counts rankings; different threads may record and read."""

    def __init__(self) -> None:
        self._policies: OrderedDict[PolicyKey, PolicySums] = OrderedDict()
        self._stored: frozenset[str] | None = None
        self._lock = threading.Lock()

    def keep(self, names: Collection[str]) -> None:
        """Drops the series of deleted policies; what they still rank counts under ``DELETED``."""
        with self._lock:
            self._stored = frozenset(names)
            for key in [key for key in self._policies if key.policy not in self._stored]:
                if key.policy != DELETED:
                    del self._policies[key]

    def record(self, ranked: Sequence[RankedQuery], dataset: Dataset, policy: Policy) -> None:
        """Counts ranked queries, by their realistic ranks."""
        with self._lock:
            sums = self._sums(dataset, policy)
            for query in ranked:
                rank = query.ranks.realistic
                sums.by_side[query.side].add(rank)
                if sums.by_relation:
                    sums.by_relation[dataset.vocabulary.predicate_name(query.query.predicate)].add(rank)

    def show(self, dataset: Dataset, policy: Policy) -> None:
        """Exports zeros for a policy that will rank, so that a rate also sees its first ranking."""
        with self._lock:
            if self._stored is not None:
                self._stored |= {policy.name}
            self._sums(dataset, policy)

    def _sums(self, dataset: Dataset, policy: Policy) -> PolicySums:
        is_stored = self._stored is None or policy.name in self._stored
        key = (
            PolicyKey(dataset.name, policy.name, policy.content_hash)
            if is_stored
            else PolicyKey(dataset.name, DELETED, "")
        )
        if key not in self._policies:
            relations = dataset.vocabulary.predicates
            self._policies[key] = PolicySums(
                {side: Sums() for side in SIDES},
                {name: Sums() for name in relations} if len(relations) <= MAX_RELATIONS else {},
            )
            if len(self._policies) > MAX_POLICIES:
                self._policies.popitem(last=False)
        self._policies.move_to_end(key)
        return self._policies[key]

    def collect(self) -> Iterable[Metric]:
        """Yields the families, by side and by relation."""
        with self._lock:
            return [
                *_families(
                    "proofrank", "side", ((key, sums.by_side) for key, sums in self._policies.items())
                ),
                *_families(
                    "proofrank_relation",
                    "relation",
                    ((key, sums.by_relation) for key, sums in self._policies.items()),
                ),
            ]


def _families(
    prefix: str, last_label: str, rows: Iterable[tuple[PolicyKey, dict[str, Sums]]]
) -> list[CounterMetricFamily]:
    labels = [*PolicyKey._fields, last_label]
    rankings = CounterMetricFamily(f"{prefix}_rankings", f"Positives ranked, by {last_label}.", labels=labels)
    reciprocal = CounterMetricFamily(
        f"{prefix}_reciprocal_rank",
        f"Sum of the reciprocal realistic ranks, by {last_label}; divided by the rankings it is the MRR.",
        labels=labels,
    )
    hits = CounterMetricFamily(
        f"{prefix}_hits",
        f"Positives ranked k or better, by {last_label}; divided by the rankings it is Hits@k.",
        labels=[*labels, "k"],
    )
    for key, by_last_label in rows:
        for value, sums in by_last_label.items():
            rankings.add_metric([*key, value], sums.rankings)
            reciprocal.add_metric([*key, value], sums.reciprocal_rank)
            for k, number in sums.hits.items():
                hits.add_metric([*key, value, str(k)], number)
    return [rankings, reciprocal, hits]
