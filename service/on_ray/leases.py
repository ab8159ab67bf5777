"""Leases: which replica may rank by which policy, and until when, so that an activation knows when the old policy ends.

A replica may rank by a policy only while it holds a lease for it. It renews the lease long before the end, and learns
of an activation that way. An activation waits until every replica says that it follows, or its lease ends. So nothing
depends on which process can reach which, or on a list of replicas. Both sides use their own clock, and the replica
counts from before it asks, so its lease never ends later than the coordinator thinks.

With each renewal a replica sends its metrics, so the coordinator has them without asking, as long as the replica is
there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from proofrank.service.policies.records import LivePolicy

_SECONDS_BETWEEN_LOOKS = 0.02


class Lease(NamedTuple):
    """The answer to a replica that asks which policy is live.

    Attributes:
        live: the live policy; a replica that ranks by it may do so for ``seconds`` from when it asked.
        dataset_sha256: hash of the graph's content; a replica with another graph may not rank.
        files: the policy's files as name -> content; None if the replica already ranks by it.
        seconds: duration of the lease.
    """

    live: LivePolicy
    dataset_sha256: str
    files: Mapping[str, bytes] | None
    seconds: float


class _Holder(NamedTuple):
    """A replica with a lease.

    Attributes:
        ranks_by: policy that it said it ranks by.
        ends: time by the book's clock at which its lease ends.
        metrics: its page of metrics when it asked.
    """

    ranks_by: LivePolicy
    ends: float
    metrics: bytes


class LeaseBook:
    """Which replicas may rank, by which policy, and until when. All methods are called on one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        seconds: duration of a lease.
        clock: returns monotonic seconds.
        """
        self.seconds = seconds
        self._clock = clock
        self._holders: dict[str, _Holder] = {}
        # An earlier book's leases are not known here.
        self._earlier_end = float("inf")

    def open(self) -> None:
        """Starts the end of an earlier book's leases; call it once that book gives no more leases."""
        self._earlier_end = self._clock() + self.seconds

    def renew(self, replica: str, ranks_by: LivePolicy, metrics: bytes) -> None:
        """Notes a lease; call it before the live policy is read, so that no activation misses the lease.

        Args:
            replica: name of the replica that asks.
            ranks_by: policy that it says it ranks by.
            metrics: its page of metrics, in Prometheus' text form.
        """
        now = self._clock()
        self._holders = {name: holder for name, holder in self._holders.items() if holder.ends > now}
        self._holders[replica] = _Holder(ranks_by, now + self.seconds, metrics)

    def release(self, replica: str) -> None:
        """Forgets a replica that has stopped ranking."""
        self._holders.pop(replica, None)

    def metrics(self) -> dict[str, bytes]:
        """Returns the last page of metrics of each replica with a valid lease."""
        now = self._clock()
        return {name: holder.metrics for name, holder in self._holders.items() if holder.ends > now}

    def may_rank_by_another(self, live: LivePolicy) -> bool:
        """Returns whether any replica may still rank by another policy than ``live``."""
        now = self._clock()
        return now < self._earlier_end or any(
            holder.ranks_by != live and now < holder.ends for holder in self._holders.values()
        )

    async def until_all_follow(self, live: LivePolicy) -> None:
        """Returns once no replica may rank by another policy than ``live``, at the latest after ``seconds``.

        From now on, ``live`` must be the policy that is read after :meth:`renew`.
        """
        # A replica that asks with another policy from now on gets no lease for it, however often it asks.
        ends = self._clock() + self.seconds
        while self.may_rank_by_another(live) and self._clock() < ends:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
