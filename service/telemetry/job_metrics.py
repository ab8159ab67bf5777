"""The MRR of jobs by policy: of each name and split the last job that was done, of a bounded number of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MAX_SERIES = 40
"""Number of names and splits that have a series; the one told least recently makes room for the next."""

OWN_QUERIES = "queries"
"""In place of a split, for jobs with queries of the client's own."""


class _Place(NamedTuple):
    """What has one series at a time."""

    policy: str
    split: str


class _Told(NamedTuple):
    """The last that was told of a place."""

    sha256: str
    low: float
    high: float


class JobMrrCollector(Collector):
    """The MRR of the last job of each policy and split; may be told and read by different threads.

    Another content under the same name takes the place of the one before: a training run that uploads its epochs under
    one name has one series at a time.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[_Place, _Told] = OrderedDict()
        self._stored: frozenset[str] | None = None
        self._lock = threading.Lock()

    def keep(self, names: Collection[str]) -> None:
        """Drops the series of policies whose names are gone."""
        with self._lock:
            self._stored = frozenset(names)
            for place in [place for place in self._told if place.policy not in self._stored]:
                del self._told[place]

    def record(self, policy: str, sha256: str, split: str | None, low: float, high: float) -> None:
        """Notes a job that was done, of the policy of this name and content; None for queries of the client's own.

        Its MRR is at least ``low`` and at most ``high``.
        """
        with self._lock:
            if self._stored is not None and policy not in self._stored:
                return
            place = _Place(policy, split or OWN_QUERIES)
            self._told[place] = _Told(sha256, low, high)
            self._told.move_to_end(place)
            if len(self._told) > MAX_SERIES:
                self._told.popitem(last=False)

    def collect(self) -> Iterable[Metric]:
        """The families: what is known, and what is possible."""
        labels = ["policy", "sha256", "split"]
        known, low, high = (
            GaugeMetricFamily(
                f"proofrank_policy_job_mrr{end}", f"{what}, by policy and split.", labels=labels
            )
            for end, what in (
                ("", "MRR of the last job that was done, under its ties, if it is known"),
                ("_low", "Lowest value that the MRR of the last job can have"),
                ("_high", "Highest value that the MRR of the last job can have"),
            )
        )
        with self._lock:
            for place, told in self._told.items():
                values = [place.policy, told.sha256, place.split]
                if told.low == told.high:
                    known.add_metric(values, told.low)
                low.add_metric(values, told.low)
                high.add_metric(values, told.high)
        yield from (known, low, high)
