"""The other processes that rank for the same clients, where there are any: none for a server that is alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proofrank.service.policies.records import LivePolicy


class Replicas(Protocol):
    """Other processes that rank by the policy that is live here."""

    async def follow(self, live: LivePolicy) -> None:
        """Returns once none of them ranks what comes in by another policy than ``live``."""
        ...

    async def gather_metrics(self, own: bytes) -> bytes:
        """``own`` metrics and those of all others, in Prometheus' text form."""
        ...


class NoReplicas:
    """No other processes."""

    async def follow(self, live: LivePolicy) -> None:
        """Returns at once."""

    async def gather_metrics(self, own: bytes) -> bytes:
        """``own`` metrics."""
        return own
