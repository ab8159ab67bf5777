"""Compiled artifacts, made once for each kind of machine and sent to all workers.

Before the workers start, one task on one machine of each kind makes an evaluator and warms it, in a folder of this
configuration only. The files of that folder then go through the object store to every worker, which writes those it
lacks and loads them. A worker on another kind of machine (one that joined later) finds nothing that fits and compiles.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from proofrank.core.evaluator import CompiledEvaluator, default_device
from proofrank.core.evaluator.artifacts import hash_of_key, write_at_once
from proofrank.core.evaluator.engines import automatic_mode
from proofrank.service.on_ray.cluster import WorkerSize
from proofrank.service.on_ray.work_order import WorkOrder
from proofrank.service.threads import use_threads

logger = logging.getLogger("proofrank")

ArtifactFiles = dict[str, bytes]
"""Path below the folder -> content of the file."""


def name_of_artifacts(order: WorkOrder) -> str:
    """Returns a name for the folder of everything that is compiled for ``order``."""
    return hash_of_key(
        {
            "dataset": order.work.corruptor.dataset.content_hash,
            "network": order.policy.shape,
            "settings": order.settings,
            "engine": order.engine,
            "buckets": order.buckets,
        }
    )


def made_artifacts(order: WorkOrder, size: WorkerSize) -> ArtifactFiles:
    """Returns the artifacts of ``order`` for every kind of machine in the cluster, and makes those that do not exist.

    Losing a machine meanwhile costs only time: workers compile the artifacts that they do not get.
    """
    reference = ray.put(order)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and _has_room(node["Resources"], size)]
    kinds = ray.get([_on(node, kind_of_machine, size).remote(reference) for node in nodes])
    node_of_kind = dict(zip(kinds, nodes, strict=True))
    files: ArtifactFiles = {}
    for made in ray.get(
        [_on(node, make_artifacts, size).remote(reference) for node in node_of_kind.values()]
    ):
        files.update(made)
    return files


def kind_of_machine(order: WorkOrder) -> str:
    """Returns a name that is equal on machines that can load each other's artifacts."""
    use_threads(order.engine.threads)
    return hash_of_key({})


def make_artifacts(order: WorkOrder) -> ArtifactFiles:
    """Makes and warms the evaluator; returns all files that it left in the folder."""
    alone = dataclasses.replace(order.engine, processes=1)
    evaluator = dataclasses.replace(order, engine=alone).make_evaluator()
    if not isinstance(evaluator, CompiledEvaluator):
        return {}
    evaluator.warm_up()
    return read_artifacts(order.artifact_folder)


def read_artifacts(folder: Path | None) -> ArtifactFiles:
    """Returns the files below ``folder``, except those being written; none if there is no such folder."""
    if folder is None or not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def write_artifacts(files: ArtifactFiles, folder: Path | None) -> None:
    """Writes the ``files`` that ``folder`` lacks, each in one step, because other processes may write the same ones."""
    if folder is None:
        return
    try:
        for name, content in files.items():
            path = folder / name
            if not path.exists():
                write_at_once(path, content)
    except OSError as error:
        logger.warning("artifacts are not kept: %s cannot be used: %s", folder, error.strerror)


def is_compiling(order: WorkOrder, size: WorkerSize) -> bool:
    """Returns whether the evaluator of ``order`` has anything to compile on a worker of ``size``."""
    if not order.is_proving:
        return False
    engine, beam = order.engine.engine, order.engine.beam
    if beam is not None and beam.width > 1:
        return False  # beams are proved by eager
    if engine == "auto":
        import torch

        device = order.engine.device or ("cuda" if size.gpus else default_device())
        engine = automatic_mode(torch.device(device))
    return engine not in ("original", "eager")


def _has_room(resources: dict[str, float], size: WorkerSize) -> bool:
    return resources.get("CPU", 0.0) >= size.cpus and resources.get("GPU", 0.0) >= size.gpus


def _on(node: str, function: Callable[..., Any], size: WorkerSize) -> Any:
    """Runs ``function`` as a task on ``node``, with the resources of a worker."""
    strategy: Any = NodeAffinitySchedulingStrategy(node, soft=True)  # missing from Ray's types
    return ray.remote(num_cpus=size.cpus, num_gpus=size.gpus, scheduling_strategy=strategy)(function)
