"""Finds out by a short run what buffers of fixed shape should be like, on this graph and this device.

What lanes ask for is counted on a sample of the graph's own triples and corruptions of them; a count is the same on a
busy machine. On CUDA it is also timed how many ticks a replay should have, and up to which number of lanes more of
them pay. No result depends on any of it. ``proofrank.core.evaluator.calibration_store`` keeps what was found.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.capacities import DEFAULT_BUCKETS, Demand, PerLane
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.options import TICKS_PER_LOOK, EvaluatorOptions
from proofrank.core.evaluator.sample import repeated, sample_candidates
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate, ProverSettings

logger = logging.getLogger("proofrank")

_LANES = 64
_CHECKS_PER_LANE = 1024
_TICKS_TRIED = (1, 2, 4, 8, 16)
_LANES_TRIED = (64, 512, 4096, 16384)
_CANDIDATES_PER_LANE = 4

_GOOD_ENOUGH = 1.03
"""Times the best: less is within what short timings differ by, and fewer ticks or lanes have merits of their own."""


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        demand: of a lane.
        ticks_per_look: ticks between two looks at what is done.
        buckets: numbers of lanes; those that were asked for, where they were.
    """

    demand: Demand
    ticks_per_look: int
    buckets: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises EvaluationError for numbers of ticks or lanes that are none."""
        numbers = (self.ticks_per_look, *self.buckets)
        if not self.buckets or any(type(number) is not int or number < 1 for number in numbers):
            raise EvaluationError(
                f"ticks_per_look is {self.ticks_per_look!r} and buckets are {self.buckets!r}; expected whole numbers, "
                "1 or more"
            )


def calibrate(
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    device: torch.device,
    *,
    precision: str = "float32",
    buckets: Sequence[int] | None = None,
) -> Calibration:
    """Runs the sample, and on CUDA the timings.

    Args:
        dataset: the graph.
        policy: proves the sample; another would ask for somewhat more or less.
        settings: of the prover.
        device: where to run.
        precision: of the network's matrix products.
        buckets: numbers of lanes, where they are not to be chosen.

    Raises:
        EvaluationError: the graph or the settings cannot be evaluated exactly.
        PolicyError: the policy does not fit the graph.
    """
    began = time.perf_counter()
    sample = sample_candidates(dataset)
    demand = measure_demand(dataset, policy, settings, device, sample, precision)
    calibration = Calibration(demand, TICKS_PER_LOOK, tuple(buckets or DEFAULT_BUCKETS))
    if device.type == "cuda":

        def make(num_lanes: int, ticks_per_look: int) -> CompiledEvaluator:
            return CompiledEvaluator(
                dataset,
                policy,
                settings,
                EvaluatorOptions(
                    device=device,
                    buckets=(num_lanes,),
                    precision=precision,
                    demand=demand,
                    ticks_per_look=ticks_per_look,
                ),
                compile_mode="captured",
            )

        calibration = timed(calibration, make, sample, buckets)
        gc.collect()  # the caller goes on with an evaluator of its own
    logger.info("calibrated in %.1f s: %s", time.perf_counter() - began, calibration)
    return calibration


def measure_demand(
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    device: torch.device,
    sample: Sequence[Candidate],
    precision: str = "float32",
) -> Demand:
    """What a lane asks for on average while it proves ``sample``, in buffers in which it has all it may ask for."""
    most_states = settings.padding_states + 1
    most_rules = max((len(rules) for rules in dataset.rules_by_predicate.values()), default=0)
    evaluator = CompiledEvaluator(
        dataset,
        policy,
        settings,
        EvaluatorOptions(
            device=device,
            buckets=(_LANES,),
            per_lane=PerLane(rows=most_rules + most_states, checks=_CHECKS_PER_LANE, states=most_states),
            pool_size=len(sample),
            precision=precision,
        ),
    )
    # As a stream, which goes on where one of the sample cannot be evaluated.
    evaluator.submit(sample)
    while evaluator.num_in_flight:
        evaluator.advance(TICKS_PER_LOOK)
        evaluator.collect()
    work = evaluator.work
    return Demand(
        rows=work.rows_expanded / work.lanes_busy,
        checks=work.facts_checked / work.lanes_busy,
        states=work.states_scored / work.lanes_busy,
    )


def timed(
    calibration: Calibration,
    make: Callable[[int, int], CompiledEvaluator],
    sample: Sequence[Candidate],
    buckets: Sequence[int] | None,
) -> Calibration:
    """``calibration`` with the buckets, unless they are given, and the ticks of a replay that were the fastest.

    Args:
        calibration: given back as it is where nothing can be timed.
        make: an evaluator of one bucket, of a number of lanes and of ticks of a replay.
        sample: repeated until it keeps the lanes full for a while.
        buckets: numbers of lanes, where they are not to be chosen.
    """
    try:
        if buckets is None:
            buckets = choose_buckets(_rates(make, sample))
        candidates = repeated(sample, _CANDIDATES_PER_LANE * max(buckets))
        seconds = {ticks: _seconds(make, max(buckets), ticks, candidates) for ticks in _TICKS_TRIED}
    except (EvaluationError, torch.OutOfMemoryError) as error:
        logger.warning("calibration could not be timed: %s", error)
        return calibration
    return Calibration(calibration.demand, choose_ticks_per_look(seconds), tuple(buckets))


def _rates(make: Callable[[int, int], CompiledEvaluator], sample: Sequence[Candidate]) -> dict[int, float]:
    """Number of lanes -> candidates a second, as far as there is memory for the lanes."""
    rates: dict[int, float] = {}
    for num_lanes in _LANES_TRIED:
        candidates = repeated(sample, _CANDIDATES_PER_LANE * num_lanes)
        try:
            rates[num_lanes] = len(candidates) / _seconds(make, num_lanes, TICKS_PER_LOOK, candidates)
        except (EvaluationError, torch.OutOfMemoryError) as error:
            logger.info("no bucket of %d lanes: %s", num_lanes, error)
            break
    return rates


def _seconds(
    make: Callable[[int, int], CompiledEvaluator],
    num_lanes: int,
    ticks_per_look: int,
    candidates: Sequence[Candidate],
) -> float:
    """Seconds of the second run: the first captures. They end when the outcomes are on the host."""
    # The evaluator before is part of cycles, and there may be no memory for two.
    gc.collect()
    evaluator = make(num_lanes, ticks_per_look)
    evaluator.evaluate(candidates)
    began = time.perf_counter()
    evaluator.evaluate(candidates)
    return time.perf_counter() - began


def choose_ticks_per_look(seconds: Mapping[int, float]) -> int:
    """The fewest ticks whose ``seconds`` are nearly the best: more of them find out later that a candidate is done."""
    best = min(seconds.values())
    return min(ticks for ticks, took in seconds.items() if took <= best * _GOOD_ENOUGH)


def choose_buckets(rates: Mapping[int, float]) -> tuple[int, ...]:
    """The numbers of lanes up to the first whose rate is nearly the best, ascending; more of them only take memory.

    Args:
        rates: number of lanes -> candidates a second.

    Raises:
        EvaluationError: there are none.
    """
    if not rates:
        raise EvaluationError("no bucket fits into memory; use fewer lanes")
    best = max(rates.values())
    largest = min(num_lanes for num_lanes, rate in rates.items() if rate * _GOOD_ENOUGH >= best)
    return tuple(sorted(num_lanes for num_lanes in rates if num_lanes <= largest))
