"""What is answered where something went wrong: problem+json (RFC 9457)."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass

from proofrank.core.errors import did_you_mean

MAX_ERRORS = 20
"""Number of wrong fields that one error shows."""

MAX_SHOWN = 200
"""Number of characters of a wrong value that are shown."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One thing that is wrong with a request."""

    field: str = Field(description="where, as in queries[3].relation")
    value: Any = Field(None, description="what stands there, shortened where it is long")
    message: str = Field(description="what is wrong and what would be right")
    nearest: tuple[str, ...] = Field(
        default_factory=tuple, description="the nearest known names, for an unknown one"
    )

    def __str__(self) -> str:
        value = "" if self.value is None else f" is {self.value!r}"
        return f"{self.field}{value}: {self.message}{did_you_mean(list(self.nearest))}"


@dataclass(frozen=True, kw_only=True)
class ProblemBody:
    """The body of every error."""

    type: str = Field("about:blank", description="kind of problem")
    title: str = Field(description="what went wrong, in general")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what went wrong this time")
    errors: list[FieldError] = Field(
        default_factory=list, description="the first things wrong with the request"
    )
    request_id: str | None = Field(None, description="identifies the request in the server's log")


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
