"""Stage ``limit``: the limits of the device, measured in the same run, and the share of them that is reached.

Tables ``device`` (rate of plain matrix products, bandwidth of a copy), ``network`` (the scored network alone, on a
tick's states: its time against the larger of FLOPs over rate and bytes over bandwidth) and ``tick`` (the whole tick).
``benchmarks.device.counted`` says what is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import Workload, median
from benchmarks.device.bench import Bench, ReadyEvaluator
from benchmarks.device.counted import bookkeeping_bytes, network_bytes, network_flops
from benchmarks.device.record import LeftOut, Record, Row
from proofrank.core.policy.features import RowFeatures
from proofrank.core.policy.precision import matrix_products_in, precisions_of

_CALLS = 10
"""Number of calls in one measurement, so that the host's cost of a launch is hidden behind the device's work."""


@dataclass
class Rates:
    """The limits of the device.

    Attributes:
        flops: precision -> FLOP/s of a large square product.
        bandwidth: bytes read and written a second; 0 before it is measured.
    """

    flops: dict[str, float] = field(default_factory=dict)
    bandwidth: float = 0.0

    def least_seconds(self, precision: str, flops: int, num_bytes: int) -> float:
        """Returns the least time for this work on the device. Raises LeftOut before both rates are measured."""
        if precision not in self.flops or not self.bandwidth:
            raise LeftOut("the device's rates were not measured")
        return max(flops / self.flops[precision], num_bytes / self.bandwidth)


def measure(bench: Bench, record: Record) -> None:
    """Adds the tables."""
    rates = Rates()
    workload = bench.workload("family", *bench.sizes.workloads[-1])
    record.measure("device", {"what": "copy"}, partial(_bandwidth, bench, rates))
    for precision in precisions_of(bench.device):
        labels = {"what": "product", "precision": precision}
        record.measure("device", labels, partial(_product_rate, bench, precision, rates))
    num_lanes = bench.sizes.lanes[-1]
    for precision in precisions_of(bench.device):
        labels = {"mode": bench.automatic_mode, "precision": precision, "lanes": num_lanes}
        with_network = partial(_tick_and_network, bench, workload, precision, num_lanes, rates, record)
        record.measure("tick", labels, with_network)


def _bandwidth(bench: Bench, rates: Rates) -> Row:
    source = torch.zeros(bench.sizes.copied_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    seconds = _seconds_a_call(bench, lambda: target.copy_(source))
    rates.bandwidth = 2 * bench.sizes.copied_bytes / seconds
    return {"size": f"{bench.sizes.copied_bytes / 2**20:.0f} MiB", "GB/s": rates.bandwidth / 1e9}


def _product_rate(bench: Bench, precision: str, rates: Rates) -> Row:
    side = bench.sizes.square
    with matrix_products_in(precision):
        matrix = torch.randn(side, side, dtype=_dtype_of(precision), device=bench.device)
        out = torch.empty_like(matrix)
        seconds = _seconds_a_call(bench, lambda: torch.mm(matrix, matrix, out=out))
    rates.flops[precision] = 2 * side**3 / seconds
    return {"size": f"{side} x {side} x {side}", "TFLOP/s": rates.flops[precision] / 1e12}


def _tick_and_network(
    bench: Bench, workload: Workload, precision: str, num_lanes: int, rates: Rates, record: Record
) -> Row:
    """Returns a row of the tick; adds those of the network, on as many states as the tick scores."""
    with bench.evaluator(workload, num_lanes, precision=precision) as ready:
        evaluator = ready.evaluator
        candidates = workload.candidates
        evaluator.evaluate(candidates)
        before = evaluator.work
        timings = [bench.timed(lambda: evaluator.evaluate(candidates)) for _ in range(bench.sizes.repeats)]
        done = evaluator.work - before
        num_scored, num_padded = done.states_scored / done.ticks, done.states_padded / done.ticks
        measured = median([timing.device_seconds for timing in timings]) / done.ticks * len(timings)
        features, tick = _features(ready), ready.tick
        working_atoms = tick.environment.engine.working_atoms
        of_states = rates.least_seconds(
            precision,
            network_flops(features, round(num_scored)),
            network_bytes(features, round(num_scored), working_atoms),
        )
        of_bookkeeping = bookkeeping_bytes(tick) / rates.bandwidth
        _add_network(bench, ready, precision, round(num_padded), rates, record)
    return {
        "states scored": num_scored,
        "states padded": num_padded,
        "GFLOP of the states scored": network_flops(features, round(num_scored)) / 1e9,
        "least ms, network": of_states * 1e3,
        "least ms, bookkeeping": of_bookkeeping * 1e3,
        "ms per tick": measured * 1e3,
        "network's limit of the tick %": 100 * of_states / measured,
        "whole limit of the tick %": 100 * (of_states + of_bookkeeping) / measured,
    }


def _features(ready: ReadyEvaluator) -> RowFeatures:
    """Returns the network, which is the built-in one in these benchmarks."""
    features = ready.tick.network
    assert isinstance(features, RowFeatures)
    return features


def _add_network(
    bench: Bench, ready: ReadyEvaluator, precision: str, num_states: int, rates: Rates, record: Record
) -> None:
    features = _features(ready)
    width = ready.tick.environment.engine.working_atoms
    states = _states(ready, num_states, width)
    flops, num_bytes = network_flops(features, num_states), network_bytes(features, num_states, width)

    def row(is_compiled: bool) -> Row:
        if is_compiled:
            bench.check_mode("default")
        apply: Callable[[Tensor], Tensor] = (
            torch.compile(features.forward, dynamic=False) if is_compiled else features
        )
        with torch.inference_mode(), matrix_products_in(precision):
            seconds = _seconds_a_call(bench, lambda: apply(states))
        return {
            "GFLOP": flops / 1e9,
            "GB": num_bytes / 1e9,
            "ms": seconds * 1e3,
            "TFLOP/s": flops / seconds / 1e12,
            "of the matrix rate %": 100 * flops / rates.flops[precision] / seconds,
            "of the limit %": 100 * rates.least_seconds(precision, flops, num_bytes) / seconds,
        }

    labels = {"precision": precision, "lanes": ready.num_lanes, "states": num_states}
    for is_compiled in (False, True):
        name = {"network": "compiled" if is_compiled else "eager"}
        record.measure("network", {**labels, **name}, partial(row, is_compiled))
    side, dtype = features.config.hidden_dim, _dtype_of(precision)
    with matrix_products_in(precision):
        rows = torch.randn(num_states, side, dtype=dtype, device=bench.device)
        weight = torch.randn(side, side, dtype=dtype, device=bench.device)
        seconds = _seconds_a_call(bench, lambda: rows @ weight)
    rate = 2 * num_states * side * side / seconds
    record.add(
        "device",
        {
            "what": "product of the network's shape",
            "precision": precision,
            "size": f"{num_states} x {side} x {side}",
            "TFLOP/s": rate / 1e12,
        },
    )


def _states(ready: ReadyEvaluator, number: int, width: int) -> Tensor:
    """Returns ``[number, width]`` int64 packed states of one atom each: the submitted candidates, repeated."""
    atoms = ready.tick.buffers.pool.atom
    atoms = atoms[atoms != 0]
    states = torch.zeros(number, width, dtype=torch.int64, device=atoms.device)
    states[:, 0] = atoms.repeat(-(-number // atoms.shape[0]))[:number]
    return states


def _seconds_a_call(bench: Bench, call: Callable[[], object]) -> float:
    """Returns the median seconds of a call among several."""

    def calls() -> None:
        for _ in range(_CALLS):
            call()

    return median([timing.device_seconds for timing in bench.repeated(calls)]) / _CALLS


def _dtype_of(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
