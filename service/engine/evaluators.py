"""Makes and warms the evaluator of the settings, and describes its lanes."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from proofrank.core.evaluator import (
    CandidateStream,
    CompiledEvaluator,
    OriginalStream,
    create_evaluator,
    default_device,
)
from proofrank.core.evaluator.beams import BeamEvaluator
from proofrank.core.evaluator.capacities import DEFAULT_BUCKETS
from proofrank.core.evaluator.engines import usable_device
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.sampling import SamplingEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.beams import Beam
from proofrank.service.engine.serving_buckets import serving_buckets
from proofrank.service.scheduler import Lanes
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.threads import use_threads

logger = logging.getLogger("proofrank")


def make_evaluator(
    settings: Settings,
    dataset: Dataset,
    policy: Policy,
    prover_settings: ProverSettings,
    metrics: ServiceMetrics,
    on_stage: Callable[[str], None],
) -> tuple[CandidateStream, Lanes]:
    """Makes a warm evaluator and describes its lanes; call it in the thread that will use the evaluator.

    Args:
        settings: settings of the service.
        dataset: the graph.
        policy: policy to begin with, which must fit the graph.
        prover_settings: settings of the prover.
        metrics: shows the time of each bucket.
        on_stage: called with the name of each stage before it begins.

    Raises:
        EvaluationError: there is no such evaluator here, or it cannot evaluate this graph exactly.
    """
    on_stage("build evaluator")
    # Before the evaluator is made, because it measures the machine with this number of threads.
    use_threads(settings.threads)
    gather_seconds = settings.gather_ms / 1000
    if settings.engine == OriginalStream.engine:
        stream = OriginalStream(dataset, policy, prover_settings)
        on_stage("warm up")
        return stream, Lanes((stream.num_free_slots,), is_cost_by_lane=True, gather_seconds=gather_seconds)
    device = settings.device or default_device()
    _limit_torch(device, settings.device_memory)
    evaluator = create_evaluator(
        settings.engine,
        dataset,
        policy,
        prover_settings,
        device=device,
        fullgraph=settings.fullgraph,
        buckets=buckets_of(settings, device),
        precision=settings.precision,
        cache_folder=settings.cache_folder,
        calibrate=settings.calibrate,
        memory_share=settings.device_memory,
    )
    assert isinstance(evaluator, CompiledEvaluator)
    on_stage("warm up")
    with metrics.compiling() as begin_bucket:

        def on_bucket(num_lanes: int) -> None:
            logger.info("warming a bucket of %d lanes", num_lanes)
            begin_bucket(num_lanes)

        evaluator.warm_up(on_bucket)
    is_cost_by_lane = evaluator.mode.is_trimming
    return evaluator, Lanes(
        evaluator.buckets,
        is_cost_by_lane=is_cost_by_lane,
        ticks_per_look=1 if is_cost_by_lane else evaluator.ticks_per_look,
        gather_seconds=gather_seconds,
    )


def buckets_of(settings: Settings, device: str) -> tuple[int, ...] | None:
    """The buckets that are set, or the default ones on ``device``; None if calibration chooses them."""
    return settings.buckets or serving_buckets(device, calibrate=settings.calibrate)


def _limit_torch(device: str, share: float | None) -> None:
    """Has torch refuse what would be more than ``share`` of a CUDA device's memory; there is no such limit on a CPU."""
    if share is not None and torch.device(device).type == "cuda" and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share, torch.device(device))


def make_beam_evaluator(
    settings: Settings, dataset: Dataset, policy: Policy, prover_settings: ProverSettings, beam: Beam
) -> tuple[CandidateStream, Lanes]:
    """Makes an evaluator of beams, which is ``eager`` whatever the engine of the settings, and needs no warming.

    Its lanes are one for each candidate that moves at once. Arguments and errors are those of :func:`make_evaluator`.
    """
    use_threads(settings.threads)
    device = settings.device or default_device()
    _limit_torch(device, settings.device_memory)
    evaluator = create_evaluator(
        "eager",
        dataset,
        policy,
        prover_settings,
        device=device,
        buckets=buckets_of(settings, device),
        precision=settings.precision,
        memory_share=settings.device_memory,
        beam=beam,
    )
    assert isinstance(evaluator, BeamEvaluator)
    gather_seconds = settings.gather_ms / 1000
    return evaluator, Lanes(evaluator.buckets, is_cost_by_lane=True, gather_seconds=gather_seconds)


def make_sampling_evaluator(
    settings: Settings, dataset: Dataset, policy: Policy, prover_settings: ProverSettings
) -> tuple[CandidateStream, Lanes]:
    """Makes an evaluator that draws trajectories, which is ``eager`` whatever the engine, and needs no warming.

    Its lanes are one for each trajectory. Arguments and errors are those of :func:`make_evaluator`.
    """
    use_threads(settings.threads)
    device = settings.device or default_device()
    _limit_torch(device, settings.device_memory)
    options = EvaluatorOptions(
        device=usable_device(device),
        buckets=buckets_of(settings, device) or DEFAULT_BUCKETS,
        precision=settings.precision,
        memory_share=settings.device_memory,
    )
    evaluator = SamplingEvaluator(dataset, policy, prover_settings, options)
    gather_seconds = settings.gather_ms / 1000
    return evaluator, Lanes(evaluator.buckets, is_cost_by_lane=True, gather_seconds=gather_seconds)
