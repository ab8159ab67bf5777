"""Request and answer of the policy routes, as described by OpenAPI."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from proofrank.core.formats.times import write_time
from proofrank.service.policies.policy_files import CONFIG, PARTS, VOCABULARY, WEIGHTS
from proofrank.service.policies.records import PolicyRecord

MAX_POLICY_NAME_LENGTH = 64
POLICY_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


Time = Annotated[
    datetime,
    PlainSerializer(write_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""A time that is written as all times are."""


class PolicyEntry(BaseModel):
    """A stored policy."""

    name: str = Field(description="name in requests and metrics")
    sha256: str = Field(description="hash of the content")
    active: bool = Field(description="whether this content ranks requests that begin now")
    bytes: int = Field(description="size of the files")
    created: Time = Field(description="time at which this content got the name, UTC")


class PolicyList(BaseModel):
    """The answer to ``GET /policies``."""

    active: str = Field(description="name of the policy that ranks requests that begin now")
    policies: list[PolicyEntry] = Field(description="stored policies, by name")


def to_entry(record: PolicyRecord) -> PolicyEntry:
    """Makes the view of a record."""
    return PolicyEntry(
        name=record.name,
        sha256=record.sha256,
        active=record.is_live,
        bytes=record.bytes,
        created=record.created,
    )


_DESCRIPTIONS = {
    WEIGHTS: "the weights: `policy.safetensors`",
    CONFIG: "shape and prover settings: `policy.json`",
    VOCABULARY: "names of predicates and constants: `vocab.json`",
}

UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [part.field for part in PARTS],
                    "additionalProperties": False,
                    "properties": {
                        part.field: {"type": "string", "format": "binary", "description": _DESCRIPTIONS[part]}
                        for part in PARTS
                    },
                }
            }
        },
    }
}
"""OpenAPI description of an upload, whose body is parsed by hand, straight into the data folder."""
