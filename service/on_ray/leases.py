"""Who may rank by which policy, and until when: so that an activation can know when the policy before is gone.

A replica may rank by a policy only while it holds a lease for it. It renews the lease long before that ends, and learns
of an activation by it. Whoever activates waits for every replica to say that it follows, or for its lease to end: so
nothing depends on who can reach whom, or on who knows which replicas there are. Both sides take the time by their own
clock, and the replica counts from before it asks: its lease never ends later than the coordinator thinks.

With each renewal a replica hands over its metrics, so that they are there without asking anybody, and as long as it is.
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
        live: the live policy; if the replica ranks by that one, it may do so for ``seconds`` from when it asked.
        dataset_sha256: content hash of the graph; a replica that has another one may not rank.
        files: content of the policy's files by name; None where the replica ranks by it already.
        seconds: that the lease lasts.
    """

    live: LivePolicy
    dataset_sha256: str
    files: Mapping[str, bytes] | None
    seconds: float


class _Holder(NamedTuple):
    """A replica that asked.

    Attributes:
        ranks_by: as it said.
        ends: by the clock of the book, when it must have asked again or have stopped to rank.
        metrics: its page of metrics when it asked.
    """

    ranks_by: LivePolicy
    ends: float
    metrics: bytes


class LeaseBook:
    """Which replicas may rank, by what, and until when. To be used on one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        seconds: that a lease lasts.
        clock: tells seconds that only grow.
        """
        self.seconds = seconds
        self._clock = clock
        self._holders: dict[str, _Holder] = {}
        # Leases that an earlier book has given are not known here.
        self._earlier_end = float("inf")

    def open(self) -> None:
        """To be called once no earlier book gives leases any more: those that it has given end from now on."""
        self._earlier_end = self._clock() + self.seconds

    def renew(self, replica: str, ranks_by: LivePolicy, metrics: bytes) -> None:
        """Notes a lease; to be called before the live policy is looked up, so that no activation misses it.

        Args:
            replica: who asks.
            ranks_by: as it says.
            metrics: its page of metrics, in Prometheus' text form.
        """
        now = self._clock()
        self._holders = {name: holder for name, holder in self._holders.items() if holder.ends > now}
        self._holders[replica] = _Holder(ranks_by, now + self.seconds, metrics)

    def release(self, replica: str) -> None:
        """Forgets a replica that does not rank any more."""
        self._holders.pop(replica, None)

    def metrics(self) -> dict[str, bytes]:
        """The page of metrics of each replica whose lease lasts, as it was at its last renewal."""
        now = self._clock()
        return {name: holder.metrics for name, holder in self._holders.items() if holder.ends > now}

    def may_rank_by_another(self, live: LivePolicy) -> bool:
        """Whether some replica may still rank by another policy than ``live``."""
        now = self._clock()
        return now < self._earlier_end or any(
            holder.ranks_by != live and now < holder.ends for holder in self._holders.values()
        )

    async def until_all_follow(self, live: LivePolicy) -> None:
        """Returns once no replica may rank by another policy than ``live``, after ``seconds`` at the latest.

        ``live`` must be what is looked up after :meth:`renew` from now on.
        """
        # Who asks with another policy from now on gets no lease for it, however often it asks.
        ends = self._clock() + self.seconds
        while self.may_rank_by_another(live) and self._clock() < ends:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
