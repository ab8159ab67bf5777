"""A stored policy as clients receive it, and an upload as OpenAPI describes it."""

from __future__ import annotations

from typing import Any

from proofrank.service.policies.policy_files import CONFIG, PARTS, VOCABULARY, WEIGHTS
from proofrank.service.policies.records import PolicyRecord
from proofrank.service.wire import StoredPolicy


def to_entry(record: PolicyRecord) -> StoredPolicy:
    """Makes the view of a record."""
    return StoredPolicy(
        name=record.name,
        sha256=record.sha256,
        active=record.is_live,
        bytes=record.bytes,
        created=record.created,
    )


_DESCRIPTIONS = {
    WEIGHTS: "Weights: the file `policy.safetensors`.",
    CONFIG: "Shape and settings of the prover: the file `policy.json`.",
    VOCABULARY: "Names of predicates and constants: the file `vocab.json`.",
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
"""OpenAPI description of an upload. FastAPI does not read it: the parts go straight into the data folder."""
