"""The two applications of Ray Serve that ``deploy/serve.yaml`` names: a coordinator and its rankers.

Ray Serve sends a request to the application with the longest matching prefix: ``/rank`` to the rankers, everything else
to the coordinator. That file sets replicas, their CPUs and GPUs, and autoscaling.
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
    """The ``args`` of a file for Ray Serve; both applications need the same settings."""

    model_config = ConfigDict(extra="forbid")

    config: Path | None = Field(None, description="TOML file with settings by name")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="settings by name, which override the file's"
    )
    lease_seconds: float = Field(
        30,
        ge=1,
        description="duration of a lease: how long rankers work without the coordinator, and how long an activation "
        "waits for a lost one",
    )


def coordinator(arguments: Mapping[str, Any]) -> Application:
    """Makes the coordinator: policies, jobs, metrics and health, in one replica.

    Args:
        arguments: values of :class:`Arguments`.

    Raises:
        SettingsError: a setting is unknown or bad.
        ValidationError: an argument is unknown or bad.
    """
    checked = Arguments.model_validate(arguments)
    return Coordinator.bind(_settings(checked), checked.lease_seconds, Ranker.name, RANKER_APP)


def ranker(arguments: Mapping[str, Any]) -> Application:
    """Makes the rankers: ``POST /rank``, in as many replicas as the file says.

    Args:
        arguments: values of :class:`Arguments`.

    Raises:
        SettingsError: a setting is unknown or bad.
        ValidationError: an argument is unknown or bad.
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
