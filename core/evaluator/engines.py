"""The engines by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import EvaluationError, did_you_mean, nearest_names
from core.evaluator.base import Evaluator
from core.evaluator.capacities import DEFAULT_BUCKETS, FROM_THE_GRAPH, PerLane
from core.evaluator.compiled import CompiledEvaluator
from core.evaluator.modes import COMPILE_MODES
from core.evaluator.original import OriginalEvaluator
from core.graph import Dataset
from core.policy import Policy
from core.prover import ProverSettings

ENGINES = ("auto", "original", *COMPILE_MODES)
"""``original`` is the reference; the compile modes are those of ``core.evaluator.modes``; ``auto`` is the fastest of
them on the device, by measurement (``docs/benchmarks.md``)."""


def create_evaluator(
    engine: str,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    *,
    device: torch.device | str | None = None,
    fullgraph: bool = True,
    buckets: Sequence[int] = DEFAULT_BUCKETS,
    per_lane: PerLane = FROM_THE_GRAPH,
    precision: str = "float32",
    cache_folder: Path | None = None,
) -> Evaluator:
    """An evaluator of the named engine.

    Args:
        engine: one of ``ENGINES``.
        dataset: the graph.
        policy: must fit it.
        settings: of the prover.
        device: where to compute; CUDA where there is one by default. The reference stays on the CPU.
        fullgraph: whether the compiler must take the tick as one graph.
        buckets: numbers of lanes of a vectorised engine.
        per_lane: sizes of a vectorised engine's buffers.
        precision: of a vectorised engine's matrix products.
        cache_folder: where compiled artifacts are kept.

    Raises:
        EvaluationError: there is no such engine, or it cannot evaluate this graph exactly.
        PolicyError: the policy does not fit the graph.
    """
    if engine not in ENGINES:
        near = did_you_mean(nearest_names(engine, ENGINES))
        raise EvaluationError(f"unknown engine {engine!r}{near}; expected one of {', '.join(ENGINES)}")
    if engine == "original":
        return OriginalEvaluator(dataset, policy, settings)
    device = torch.device(device if device is not None else default_device())
    mode = fastest_mode(device) if engine == "auto" else engine
    return CompiledEvaluator(
        dataset,
        policy,
        settings,
        compile_mode=mode,
        fullgraph=fullgraph,
        device=device,
        buckets=buckets,
        per_lane=per_lane,
        precision=precision,
        cache_folder=cache_folder,
    )


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fastest_mode(device: torch.device) -> str:
    """The compile mode that was measured to be the fastest on such a device."""
    return "reduce-overhead" if device.type == "cuda" else "eager"


def settings_for(policy: Policy, overrides: Mapping[str, Any] | None = None) -> ProverSettings:
    """The settings that ``policy`` was trained under, or the defaults, with ``overrides``.

    Raises:
        EvaluationError: an unknown name or a bad value.
    """
    trained_under = policy.settings if policy.settings is not None else ProverSettings()
    return ProverSettings.from_dict({**dataclasses.asdict(trained_under), **(overrides or {})})
