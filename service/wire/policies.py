"""What the routes of policies answer, and the names that policies may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from proofrank.service.wire.described import described
from proofrank.service.wire.run_steps import RunStep
from proofrank.service.wire.times import Time

MAX_POLICY_NAME_LENGTH = 64
SHA256_PATTERN = r"^[0-9a-f]{64}$"
POLICY_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

AskedPolicy = Annotated[str | None, Field(pattern=POLICY_NAME_PATTERN, examples=["run-7"])]
"""Name of the policy that a request asks for; None for the live one."""
AskedSha256 = Annotated[
    str | None,
    Field(
        pattern=SHA256_PATTERN,
        description="SHA-256 that the content of `policy` must have; the answer is 409 if the name has other content.",
        examples=["0a958d27" * 8],
    ),
]
"""Hash that the content of that policy must have; None for any."""


def check_asked_policy(policy: str | None, policy_sha256: str | None) -> None:
    """Raises PydanticCustomError if a request has a hash without the name of its policy."""
    if policy_sha256 is not None and policy is None:
        raise PydanticCustomError("sha256_of_policy", "'policy_sha256' is of a 'policy'; name that too")


@dataclass(frozen=True)
class _PolicyContent:
    """Name and content of a stored policy."""

    name: Annotated[str, described("Name of the policy, for requests and metrics.", "run-7")]
    sha256: Annotated[str, described("SHA-256 of the content, 64 hexadecimal digits.", "0a958d27" * 8)]
    active: Annotated[bool, described("Whether this content ranks requests that begin now.", True)]
    bytes: Annotated[int, described("Size of the files, in bytes.", 241664)]
    created: Annotated[
        Time, described("Time at which the name got this content, UTC.", "2026-01-31T12:00:00.000Z")
    ]


@dataclass(frozen=True, config=ConfigDict(json_schema_serialization_defaults_required=True))
class StoredPolicy(RunStep, _PolicyContent):
    """A stored policy."""


@dataclass(frozen=True)
class PolicyList:
    """The answer to ``GET /policies``."""

    active: Annotated[
        str, described("Name of the live policy, which ranks requests that begin now.", "run-7")
    ]
    policies: Annotated[tuple[StoredPolicy, ...], described("Stored policies, in the order of their names.")]
