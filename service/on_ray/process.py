"""The process of a replica: its logs, its share of the machine, its name."""

from __future__ import annotations

import ray
from ray import serve

from proofrank.service.settings.settings import Settings
from proofrank.service.web.process import set_up_process


def settle_process(settings: Settings) -> Settings:
    """Sets up logs and threads as ``proofrank serve`` does; returns the settings with this replica's number of threads.

    If the settings give no number, it is that of the CPUs that Ray has assigned, because others belong to other
    replicas.
    """
    set_up_process(settings.log_format or "json", settings.log_level)
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    threads = settings.threads if settings.threads is not None else max(1, int(cpus))
    return settings.model_copy(update={"threads": threads})


def replica_name() -> str:
    """Returns the name of this replica: its deployment and its id, as in ``Ranker-a1b2c3d4``."""
    replica = serve.get_replica_context().replica_id
    return f"{replica.deployment_id.name}-{replica.unique_id}"
