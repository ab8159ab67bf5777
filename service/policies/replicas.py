"""The other processes that rank for the same clients; a server alone has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proofrank.service.policies.records import LivePolicy


class Replicas(Protocol):
    """Other processes that rank by the live policy of this one."""

    async def follow(self, live: LivePolicy) -> None:
        """Returns once none of them begins requests with another policy than ``live``."""
        ...

    async def gather_metrics(self, own: bytes) -> bytes:
        """Returns ``own`` metrics and those of all others, in Prometheus' text form."""
        ...


class NoReplicas:
    """No other processes."""

    async def follow(self, live: LivePolicy) -> None:
        """Returns at once."""

    async def gather_metrics(self, own: bytes) -> bytes:
        """Returns ``own`` metrics."""
        return own
