"""Bodies of errors: problem+json (RFC 9457)."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from proofrank.core.errors import did_you_mean

MAX_ERRORS = 20
"""Number of wrong fields that one error shows."""

MAX_SHOWN = 200
"""Number of characters of a wrong value that are shown."""


_SENT_IN_FULL = ConfigDict(json_schema_serialization_defaults_required=True)
"""Configuration of an answer whose fields with defaults are sent all the same."""


@dataclass(frozen=True, kw_only=True, config=_SENT_IN_FULL)
class FieldError:
    """A field of a request that is wrong."""

    field: str = Field(description="Place of the field.", examples=["queries[3].relation"])
    value: Any = Field(
        None,
        description="Value of the field, shortened if it is long; null if it is missing.",
        examples=["locatedIn"],
    )
    message: str = Field(
        description="Fault of the value, and what would be right.",
        examples=["unknown predicate of dataset 'countries'"],
    )
    nearest: tuple[str, ...] = Field(
        default_factory=tuple,
        description="Nearest known names, for an unknown name.",
        examples=[["locatedInCR"]],
    )

    def __str__(self) -> str:
        value = "" if self.value is None else f" is {self.value!r}"
        return f"{self.field}{value}: {self.message}{did_you_mean(list(self.nearest))}"


@dataclass(frozen=True, kw_only=True, config=_SENT_IN_FULL)
class ProblemBody:
    """The body of every error."""

    type: str = Field(
        "about:blank", description="Kind of problem; always `about:blank`.", examples=["about:blank"]
    )
    title: str = Field(description="Phrase of the status.", examples=["Unprocessable Entity"])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(
        description="Explanation of this error.",
        examples=["queries[3].relation: unknown predicate of dataset 'countries'"],
    )
    errors: list[FieldError] = Field(
        default_factory=list,
        description="The first fields of the request that are wrong; empty for other errors.",
    )
    request_id: str | None = Field(
        None, description="Id of the request in the server's log.", examples=["9f2c41d0"]
    )


def shortened(value: Any) -> Any:
    """``value`` if it is short as JSON, else the start of it as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    if isinstance(value, str):
        return value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…"
    text = ""
    try:
        # Piece by piece: the value may be a whole body, of which no more is written than is shown.
        for piece in _ENCODER.iterencode(value):
            text += piece
            if len(text) > MAX_SHOWN:
                return text[:MAX_SHOWN] + "…"
    except (TypeError, ValueError, RecursionError):
        return repr(value)[:MAX_SHOWN]
    return value


def _as_it_was_sent(value: Any) -> Any:
    """What a part of a request that is validated already was read from."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    raise TypeError(f"{type(value).__name__} is not of JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_it_was_sent)
