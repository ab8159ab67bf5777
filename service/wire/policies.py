"""What the routes of policies answer, and the names that policies may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from proofrank.core.choices import BeamScore
from proofrank.service.wire.described import described
from proofrank.service.wire.rank_answer import Identity, Weights
from proofrank.service.wire.rank_request import is_none
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


@dataclass(frozen=True)
class StoredBeam:
    """The beam whose scores weights were fitted to."""

    width: Annotated[int, described("Number of trajectories of a candidate; 1 is the greedy one.", 8)]
    score: Annotated[BeamScore, described("How several proofs make a score.", "logsumexp")]


@dataclass(frozen=True)
class StoredWeights:
    """Weights of hybrid scores that are stored with a policy."""

    weights: Annotated[
        Weights | None,
        described("Those of relations without weights of their own; null if `error` is there."),
    ]
    relations: Annotated[int, described("Number of relations with weights of their own.", 3)]
    embedding: Annotated[
        Identity | None, described("Embedding that they were fitted with; null if that is not known.")
    ]
    beam: Annotated[StoredBeam | None, described("Beam that they were fitted to; null if that is not known.")]
    error: Annotated[
        str | None,
        Field(
            description="Why the weights cannot be used; missing where they can.",
            examples=["hybrid.json: not JSON: Expecting value: line 1 column 1 (char 0)"],
            exclude_if=is_none,
        ),
    ] = None


@dataclass(frozen=True, config=ConfigDict(json_schema_serialization_defaults_required=True))
class StoredPolicy(RunStep, _PolicyContent):
    """A stored policy."""

    hybrid: Annotated[
        StoredWeights | None,
        described(
            "Weights of hybrid scores that are stored with it; null without any. Older servers do not say."
        ),
    ] = None


@dataclass(frozen=True)
class PolicyList:
    """The answer to ``GET /policies``."""

    active: Annotated[
        str, described("Name of the live policy, which ranks requests that begin now.", "run-7")
    ]
    policies: Annotated[tuple[StoredPolicy, ...], described("Stored policies, in the order of their names.")]
