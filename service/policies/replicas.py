"""The other processes that rank for the same clients; a server alone has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proofrank.service.policies.records import LivePolicy


class Replicas(Protocol):
    """Other processes that rank by the live policy of this one.

    Attributes:
        is_alone: whether there can be no others.
    """

    is_alone: bool

    async def prepare(
        self,
        policy: LivePolicy,
        read_files: Callable[[], Mapping[str, bytes]],
        patience_seconds: float,
    ) -> None:
        """Returns once each that can be reached has an evaluator for ``policy``, which is not live yet.

        Args:
            policy: name and content.
            read_files: reads the policy's files, as name -> content; called in a worker.
            patience_seconds: time to wait for one that says nothing, beyond the usual.

        Raises:
            EvaluationError: one of them can make none.
        """
        ...

    async def follow(self, live: LivePolicy) -> None:
        """Returns once none of them begins requests with another policy than ``live``."""
        ...

    async def gather_metrics(self, own: bytes) -> bytes:
        """Returns ``own`` metrics and those of all others, in Prometheus' text form."""
        ...


class NoReplicas:
    """No other processes."""

    is_alone = True

    async def prepare(
        self,
        policy: LivePolicy,
        read_files: Callable[[], Mapping[str, bytes]],
        patience_seconds: float,
    ) -> None:
        """Returns at once."""

    async def follow(self, live: LivePolicy) -> None:
        """Returns at once."""

    async def gather_metrics(self, own: bytes) -> bytes:
        """Returns ``own`` metrics."""
        return own
