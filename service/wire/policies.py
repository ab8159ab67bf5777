"""What the routes of policies answer, and the names that policies may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from proofrank.service.wire.times import Time

MAX_POLICY_NAME_LENGTH = 64
POLICY_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


@dataclass(frozen=True)
class StoredPolicy:
    """A stored policy."""

    name: Annotated[str, Field(description="by which requests and metrics know it")]
    sha256: Annotated[str, Field(description="of its content")]
    active: Annotated[bool, Field(description="whether this content ranks what comes in now")]
    bytes: Annotated[int, Field(description="size of its files")]
    created: Annotated[Time, Field(description="when this content got the name, UTC")]


@dataclass(frozen=True)
class PolicyList:
    """The answer to ``GET /policies``."""

    active: Annotated[str, Field(description="name of the policy that ranks what comes in now")]
    policies: Annotated[tuple[StoredPolicy, ...], Field(description="by name")]
