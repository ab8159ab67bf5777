"""The engines by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from proofrank.core.errors import EvaluationError, did_you_mean, nearest_names
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.evaluator.base import Evaluator
from proofrank.core.evaluator.beams import BeamEvaluator, BeamReferenceEvaluator
from proofrank.core.evaluator.calibration_store import CalibrationStore
from proofrank.core.evaluator.capacities import DEFAULT_BUCKETS, FROM_THE_GRAPH, PerLane
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.modes import COMPILE_MODES, PARTIAL, Mode
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.parallel import Blueprint, ParallelEvaluator
from proofrank.core.evaluator.reference import ReferenceEvaluator
from proofrank.core.evaluator.stream import CandidateStream, OriginalStream
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.beams import Beam

ENGINES = ("auto", "original", *COMPILE_MODES)
"""``original`` is the reference; the compile modes are those of ``proofrank.core.evaluator.modes``; ``auto`` is, on a
CPU, the fastest of them that is ready at once, by measurement (``docs/benchmarks.md``)."""

BEAM_ENGINES = ("auto", "original", "eager")
"""The engines that prove more than one trajectory of a candidate; ``auto`` is ``eager`` there."""


def create_evaluator(
    engine: str,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    *,
    device: torch.device | str | None = None,
    fullgraph: bool = True,
    buckets: Sequence[int] | None = None,
    per_lane: PerLane = FROM_THE_GRAPH,
    precision: str = "float32",
    cache_folder: Path | None = None,
    calibrate: bool = True,
    processes: int = 1,
    memory_share: float | None = None,
    beam: Beam | None = None,
) -> Evaluator:
    """An evaluator of the named engine.

    Args:
        engine: one of ``ENGINES``.
        dataset: the graph.
        policy: must fit it.
        settings: of the prover.
        device: where to compute; CUDA where there is one by default. The reference stays on the CPU.
        fullgraph: whether the compiler must take each part of the tick as one graph.
        buckets: numbers of lanes of a vectorised engine; by default ``DEFAULT_BUCKETS``, or on CUDA what calibration
            has found.
        per_lane: sizes of a vectorised engine's buffers, where they are not to be chosen.
        precision: of a vectorised engine's matrix products.
        cache_folder: where compiled artifacts and calibrations are kept.
        calibrate: whether buffers of fixed shape are fitted to what a short run at first start finds out
            (``proofrank.core.evaluator.calibration``).
        processes: how many processes may take part in a long evaluation on a CPU, this one included
            (``proofrank.core.evaluator.parallel``).
        memory_share: of the device's memory, what this process may have, above 0 and at most 1; None for all that is
            free.
        beam: how many trajectories a candidate has; one by default, which is what any engine proves.

    Raises:
        EvaluationError: there is no such engine, it proves no beams, or it cannot evaluate this graph exactly.
        PolicyError: the policy does not fit the graph.
    """
    check_engine(engine, beam)
    if processes < 1:
        raise EvaluationError(f"processes is {processes}; expected at least 1")
    if beam is not None and beam.width > 1:
        if engine == "original":
            return BeamReferenceEvaluator(ReferenceEvaluator(dataset, policy, settings), beam)
        evaluator = BeamEvaluator(
            dataset,
            policy,
            settings,
            beam,
            EvaluatorOptions(
                device=usable_device(device),
                buckets=buckets or DEFAULT_BUCKETS,
                per_lane=per_lane,
                precision=precision,
                memory_share=memory_share,
            ),
        )
    elif engine == "original":
        evaluator = ReferenceEvaluator(dataset, policy, settings)
    else:
        evaluator = _vectorised(
            engine,
            dataset,
            policy,
            settings,
            device=usable_device(device),
            fullgraph=fullgraph,
            buckets=buckets,
            per_lane=per_lane,
            precision=precision,
            cache_folder=cache_folder,
            calibrate=calibrate,
            memory_share=memory_share,
        )
    is_on_cpu = isinstance(evaluator, ReferenceEvaluator) or evaluator.device.type == "cpu"
    if processes == 1 or not is_on_cpu:
        return evaluator
    arguments = {
        "engine": engine,
        "dataset": dataset,
        "policy": policy,
        "settings": settings,
        "fullgraph": fullgraph,
        "buckets": buckets,
        "per_lane": per_lane,
        "precision": precision,
        "cache_folder": cache_folder,
        "calibrate": calibrate,
        "beam": beam,
    }
    return ParallelEvaluator(
        evaluator,
        _stream_of(evaluator, dataset, policy, settings),
        Blueprint(_stream_on_a_cpu, arguments),
        processes,
        buckets=() if isinstance(evaluator, ReferenceEvaluator) else evaluator.buckets,
    )


def _stream_on_a_cpu(
    engine: str, dataset: Dataset, policy: Policy, settings: ProverSettings, **options: Any
) -> CandidateStream:
    """A stream of the named engine in a further process, with ``options`` of :func:`create_evaluator`."""
    evaluator = create_evaluator(engine, dataset, policy, settings, device="cpu", **options)
    return _stream_of(evaluator, dataset, policy, settings)


def _stream_of(
    evaluator: Evaluator, dataset: Dataset, policy: Policy, settings: ProverSettings
) -> CandidateStream:
    """A stream of the engine of ``evaluator``: itself where it is one."""
    if isinstance(evaluator, CompiledEvaluator | BeamEvaluator):
        return evaluator
    return OriginalStream(dataset, policy, settings)


def _vectorised(
    engine: str,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    *,
    device: torch.device,
    fullgraph: bool,
    buckets: Sequence[int] | None,
    per_lane: PerLane,
    precision: str,
    cache_folder: Path | None,
    calibrate: bool,
    memory_share: float | None,
) -> CompiledEvaluator:
    """The vectorised evaluator of that name, calibrated where it is asked for and where buffers have a fixed shape."""
    options = EvaluatorOptions(
        device=device,
        buckets=buckets or DEFAULT_BUCKETS,
        per_lane=per_lane,
        precision=precision,
        cache_folder=cache_folder if cache_folder is not None else default_cache_folder(),
        memory_share=memory_share,
    )
    compile_mode = automatic_mode(options.device) if engine == "auto" else engine
    if calibrate and not Mode.of(compile_mode, fullgraph=fullgraph, device=options.device).is_trimming:
        calibration = CalibrationStore(options.cache_folder).calibrated(
            dataset, policy, settings, options.device, precision=precision, buckets=buckets
        )
        options = dataclasses.replace(
            options,
            buckets=calibration.buckets,
            demand=calibration.demand,
            ticks_per_look=calibration.ticks_per_look,
        )
    return CompiledEvaluator(
        dataset, policy, settings, options, compile_mode=compile_mode, fullgraph=fullgraph
    )


def check_engine(engine: str, beam: Beam | None = None) -> None:
    """Refuses an engine that there is not, or that does not prove the beam.

    Raises:
        EvaluationError: names the nearest, and those that there are.
    """
    if engine not in ENGINES:
        near = did_you_mean(nearest_names(engine, ENGINES))
        raise EvaluationError(f"unknown engine {engine!r}{near}; expected one of {', '.join(ENGINES)}")
    if beam is not None and beam.width > 1 and engine not in BEAM_ENGINES:
        raise EvaluationError(
            f"engine {engine!r} proves one trajectory of a candidate; with a beam of {beam.width} expected one of "
            f"{', '.join(BEAM_ENGINES)}"
        )


def usable_device(device: torch.device | str | None) -> torch.device:
    """The device that is asked for; the default one for None.

    Raises:
        EvaluationError: there is no such device here, or no engine can use it.
    """
    if device is None:
        device = default_device()
    try:
        found = torch.device(device)
    except (RuntimeError, ValueError):
        raise EvaluationError(
            f"unknown device {device!r}; expected cpu, cuda, or one such as cuda:0"
        ) from None
    if found.type == "cuda":
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if num_devices == 0:
            lacking = "torch is built without CUDA" if torch.version.cuda is None else "torch finds none here"
            raise EvaluationError(f"no CUDA device: {lacking}; expected cpu")
        if found.index is not None and found.index >= num_devices:
            raise EvaluationError(f"no device {device!r}: there are {num_devices}, counted from cuda:0")
    elif found.type != "cpu":
        raise EvaluationError(f"device {device!r} cannot be used; expected cpu or cuda")
    return found


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def automatic_mode(device: torch.device) -> str:
    """The compile mode that is taken where none is asked for: on a CPU the fastest that needs no compiler."""
    return "reduce-overhead" if device.type == "cuda" else "eager"


def option_of(engine: str) -> str:
    """The option that leads to an evaluator whose ``engine`` is this one."""
    return engine.removesuffix(PARTIAL)


def settings_for(policy: Policy, overrides: Mapping[str, Any] | None = None) -> ProverSettings:
    """The settings that ``policy`` was trained under, or the defaults, with ``overrides``.

    Raises:
        EvaluationError: an unknown name or a bad value.
    """
    trained_under = policy.settings if policy.settings is not None else ProverSettings()
    return ProverSettings.from_dict({**dataclasses.asdict(trained_under), **(overrides or {})})
