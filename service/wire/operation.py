"""What ``GET /info`` and ``GET /readyz`` answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Readiness:
    """Whether requests are taken, and what is going on if not."""

    ready: bool
    stage: str
    seconds: Annotated[float, Field(description="since the stage began")]


@dataclass(frozen=True)
class Info:
    """What is being served."""

    version: str
    dataset: dict[str, Any]
    policy: dict[str, Any]
    prover: dict[str, Any]
    engine: str
    device: str
    torch: str
    limits: dict[str, int]
    startup_seconds: Annotated[dict[str, float], Field(description="per stage of the start")]
