"""A stored policy as clients receive it, and an upload as OpenAPI describes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from proofrank.core.errors import RankingError
from proofrank.service.errors import InvalidInput
from proofrank.service.policies.policy_files import (
    ALL_PARTS,
    CHECKPOINT,
    CONFIG,
    FACTS,
    HYBRID,
    PARTS,
    VOCABULARY,
    WEIGHTS,
    Part,
    PolicyFiles,
)
from proofrank.service.policies.records import PolicyRecord
from proofrank.service.wire import (
    LABEL_NAME_PATTERN,
    MAX_LABEL_LENGTH,
    FieldError,
    Identity,
    RunStep,
    StoredBeam,
    StoredPolicy,
    StoredWeights,
    Weights,
    shortened,
)


def to_entry(record: PolicyRecord, files: PolicyFiles) -> StoredPolicy:
    """Makes the view of a record; reads the weights of hybrid scores that are stored with it."""
    return StoredPolicy(
        name=record.name,
        sha256=record.sha256,
        active=record.is_live,
        bytes=record.bytes,
        created=record.created,
        run=record.place.run,
        step=record.place.step,
        labels=record.place.labels,
        hybrid=_to_weights(record.sha256, files),
    )


def _to_weights(sha256: str, files: PolicyFiles) -> StoredWeights | None:
    try:
        hybrid = files.hybrid(sha256)
    except RankingError as error:
        text = f"{HYBRID.file}{str(error).rpartition(HYBRID.file)[2]}"  # without the server's folder
        return StoredWeights(weights=None, relations=0, embedding=None, beam=None, error=text)
    if hybrid is None:
        return None
    overall, embedding, beam = hybrid.overall, hybrid.fitted_with, hybrid.fitted_beam
    return StoredWeights(
        weights=Weights(overall.weight, overall.bonus, overall.penalty),
        relations=len(hybrid.by_relation),
        embedding=None if embedding is None else Identity(embedding.name, embedding.sha256),
        beam=None if beam is None else StoredBeam(beam.width, beam.score),
    )


def to_run_step(run: str | None, step: int | None, labels: Sequence[str]) -> RunStep:
    """Makes the place of an upload from what the client gave.

    Args:
        run: name of the run.
        step: step of the run.
        labels: ``NAME=TEXT`` each.

    Raises:
        InvalidInput: only one of run and step is given, or a label has another form.
    """
    errors = []
    if (run is None) != (step is None):
        field, value = ("run", run) if step is None else ("step", step)
        errors.append(
            FieldError(field=field, value=value, message="expected both a run and a step, or neither")
        )
    read: dict[str, str] = {}
    for label in labels:
        name, sign, text = label.partition("=")
        if not re.fullmatch(LABEL_NAME_PATTERN, name) or not sign or len(text) > MAX_LABEL_LENGTH:
            expected = (
                f"expected NAME=TEXT, a name of letters, digits, '.', '_' and '-' and at most {MAX_LABEL_LENGTH} "
                "characters of text"
            )
            errors.append(FieldError(field="label", value=shortened(label), message=expected))
        elif read.setdefault(name, text) != text:
            errors.append(FieldError(field="label", value=shortened(label), message="the name stands twice"))
    if errors:
        raise InvalidInput(errors)
    return RunStep(run, step, read)


_DESCRIPTIONS = {
    WEIGHTS: "Weights: the file `policy.safetensors`.",
    CONFIG: "Shape and settings of the prover: the file `policy.json`.",
    VOCABULARY: "Names of predicates and constants: the file `vocab.json`.",
    HYBRID: "Weights of hybrid scores, which are stored with the policy: the file `hybrid.json`.",
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
                        _form("PolicyFolder", ALL_PARTS, PARTS),
                        _form("PublicCheckpoint", (CHECKPOINT, FACTS), (CHECKPOINT,)),
                    ]
                }
            }
        },
    }
}
"""OpenAPI description of an upload. FastAPI does not read it: the parts go straight into the data folder."""
