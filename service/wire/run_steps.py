"""The run and step of a policy or a job, and the labels beside them."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described

MAX_LABELS = 20
MAX_LABEL_LENGTH = 200
MAX_STEP = 2**53 - 1
"""Largest step: the largest whole number that every reader of JSON keeps."""
EXAMPLE_LABELS = {"lr": "0.001", "commit": "3f2c1d9"}
LABEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


@dataclass(frozen=True, config=ConfigDict(json_schema_serialization_defaults_required=True))
class RunStep:
    """The place of a policy in a training run; a policy may have none."""

    run: Annotated[str | None, described("Run that the policy belongs to; null for none.", "run-7")] = None
    step: Annotated[int | None, described("Step of the run; null without a run.", 3)] = None
    labels: Annotated[
        dict[str, str], described("Labels given at the upload, name to text.", EXAMPLE_LABELS)
    ] = field(default_factory=dict)
