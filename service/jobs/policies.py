"""What jobs need of the stored policies."""

from __future__ import annotations

from typing import Protocol

from core.policy import Policy


class NamedContent(Protocol):
    """A name and the content that it stands for."""

    @property
    def name(self) -> str:
        """As the client gave it."""
        ...

    @property
    def sha256(self) -> str:
        """Of the content."""
        ...


class PolicyShelf(Protocol):
    """Stored policies, by name and by content."""

    async def find(self, name: str) -> NamedContent:
        """The policy of this name. Raises a 404 Problem where there is none."""
        ...

    async def load(self, name: str, content_hash: str) -> Policy:
        """The policy with this content, ready to rank by.

        Raises:
            PolicyError: it is not there, or is damaged, or does not fit the graph.
            EvaluationError: it cannot be used in this server.
            Problem: 503 where the service is not ready.
        """
        ...
