"""A stored policy as clients receive it, and an upload as OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofrank.service.policies.policy_files import (
    CHECKPOINT,
    CONFIG,
    FACTS,
    PARTS,
    VOCABULARY,
    WEIGHTS,
    Part,
)
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
    CHECKPOINT: "Checkpoint file of the public DeepProofLog code: a `.pt` state dict or a Stable-Baselines3 `.zip`.",
    FACTS: "JSON object of the facts that the checkpoint does not tell, by name, such as `l2_norm` and `temperature`.",
}


def _form(title: str, parts: Sequence[Part], required: Sequence[Part]) -> dict[str, Any]:
    """Returns the schema of a form of files."""
    return {
        "title": title,
        "type": "object",
        "required": [part.field for part in required],
        "additionalProperties": False,
        "properties": {
            part.field: {"type": "string", "format": "binary", "description": _DESCRIPTIONS[part]}
            for part in parts
        },
    }


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "oneOf": [
                        _form("PolicyFolder", PARTS, PARTS),
                        _form("PublicCheckpoint", (CHECKPOINT, FACTS), (CHECKPOINT,)),
                    ]
                }
            }
        },
    }
}
"""OpenAPI description of an upload. FastAPI does not read it: the parts go straight into the data folder."""
