"""The two applications of Ray Serve, as ``deploy/serve.yaml`` names them: a coordinator, and rankers beside it.

Ray Serve sends a request to the application with the longest prefix of its path: ``/rank`` to the rankers, everything
else to the coordinator. Replicas, their CPUs and GPUs, and autoscaling are set in that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application

from proofrank.service.on_ray.coordinator import Coordinator
from proofrank.service.on_ray.ranker import Ranker
from proofrank.service.settings.settings import Settings, SettingsError, load_settings

COORDINATOR_APP = "coordinator"
RANKER_APP = "ranker"


class Arguments(BaseModel):
    """What a file for Ray Serve may say under ``args``; both applications need the same settings."""

    model_config = ConfigDict(extra="forbid")

    config: Path | None = Field(None, description="TOML file with settings by name")
    settings: dict[str, Any] = Field(default_factory=dict, description="settings by name, over the file's")
    lease_seconds: float = Field(
        30,
        ge=1,
        description="how long rankers go on without the coordinator, and an activation waits for one that is lost",
    )


def coordinator(arguments: Mapping[str, Any]) -> Application:
    """Policies, jobs, metrics, health: one replica.

    Args:
        arguments: as :class:`Arguments` has them.

    Raises:
        SettingsError: a setting is unknown or bad.
        ValidationError: an argument is.
    """
    checked = Arguments.model_validate(arguments)
    return Coordinator.bind(_settings(checked), checked.lease_seconds, Ranker.name, RANKER_APP)


def ranker(arguments: Mapping[str, Any]) -> Application:
    """``POST /rank``: as many replicas as the file says.

    Args:
        arguments: as :class:`Arguments` has them.

    Raises:
        SettingsError: a setting is unknown or bad.
        ValidationError: an argument is.
    """
    return Ranker.bind(_settings(Arguments.model_validate(arguments)), Coordinator.name, COORDINATOR_APP)


def _settings(arguments: Arguments) -> Settings:
    settings = load_settings(arguments.settings, config=arguments.config)
    if settings.metrics_port is not None:
        raise SettingsError(
            f"metrics_port is {settings.metrics_port}; on Ray the metrics of all replicas are at /metrics, "
            "so leave it unset"
        )
    return settings
