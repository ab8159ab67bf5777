"""The field names of the client's types and of the service's schemas, to compare them."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel

from proofrank.service.client.from_json import name_of


def fields_of(kind: type) -> set[str]:
    """Returns the JSON names of the fields of a dataclass or of a schema."""
    if issubclass(kind, BaseModel):
        return {field.alias or name for name, field in kind.model_fields.items()}
    assert dataclasses.is_dataclass(kind)
    return {name_of(field) for field in dataclasses.fields(kind)}
