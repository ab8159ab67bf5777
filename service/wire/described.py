"""The description and the example that the OpenAPI document shows with a field of an answer."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def described(description: str, *examples: Any) -> Any:
    """Makes the metadata of a field, for ``Annotated``.

    Args:
        description: what the field holds: a noun first, with its unit and what null means.
        examples: values as in JSON; none for a field whose own fields have them.
    """
    return Field(description=description, examples=list(examples) or None)
