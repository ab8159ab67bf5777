"""Stage ``properties``: properties of the evaluator that can only be tested on a device.

Table ``properties``, a row for each property and mode: a candidate has the same bits beside any others and in any
bucket; nothing waits for the device while ticks are replayed; another policy needs no capture and no compiler; graphs
are captured in the modes that should capture them. The run fails if a row does not agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.common import Workload, random_policy
from benchmarks.device.bench import Bench
from benchmarks.device.record import AGREES, LeftOut, Record, Row, text_of
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.evaluator.bits import buckets_with_other_bits

_ALONE = 8
"""Number of candidates that are evaluated alone."""

_REPLAYS = 8
"""Number of replays of the stream during which nothing may wait."""

Property = Callable[[Bench, Workload, CompiledEvaluator], Row]
"""A function that tests a warm evaluator whose buckets are empty."""


def measure(bench: Bench, record: Record) -> None:
    """Adds the table."""
    workload = bench.workload("family", *bench.sizes.workloads[0])
    for mode in dict.fromkeys((bench.automatic_mode, "captured", "graph-trees")):
        record.measure("modes", {"mode": mode}, partial(_all_of, bench, record, workload, mode))


def _all_of(bench: Bench, record: Record, workload: Workload, mode: str) -> Row:
    """Returns a row of the mode; adds one for each property."""
    num_captured = compile_counts().cuda_graphs
    *fewer_lanes, num_lanes = bench.sizes.property_lanes
    with bench.evaluator(workload, num_lanes, compile_mode=mode, fewer_lanes=fewer_lanes) as ready:
        num_captured = compile_counts().cuda_graphs - num_captured
        properties: dict[str, Property] = {
            "same bits in any company and bucket": _same_bits,
            "no wait for the device between replays": _no_wait,
            "another policy without capture or compiler": _another_policy,
            "graphs captured": partial(_captured, num_captured),
        }
        for name, ask in properties.items():
            labels: Row = {"property": name, "mode": mode}
            record.measure("properties", labels, partial(ask, bench, workload, ready.evaluator))
    return {"buckets": ", ".join(map(str, bench.sizes.property_lanes)), "ready s": ready.ready_seconds}


def _same_bits(bench: Bench, workload: Workload, evaluator: CompiledEvaluator) -> Row:
    candidates = workload.candidates
    together = evaluator.evaluate(candidates)
    reversed_order = evaluator.evaluate(candidates[::-1])[::-1]
    alone = [evaluator.evaluate([candidate])[0] for candidate in candidates[:_ALONE]]
    num_differing = sum(one != other for one, other in zip(together, reversed_order, strict=True))
    num_differing += sum(one != other for one, other in zip(alone, together, strict=False))
    buckets = buckets_with_other_bits(evaluator, candidates)
    return {
        "candidates": len(candidates),
        "differing": num_differing,
        "buckets with other bits": ", ".join(map(str, buckets)) or "none",
        AGREES: num_differing == 0 and not buckets,
    }


def _no_wait(bench: Bench, workload: Workload, evaluator: CompiledEvaluator) -> Row:
    bench.require_cuda()
    if not evaluator.mode.is_recorded:
        raise LeftOut("this mode looks at what is done after each tick, and waits for it")
    candidates = workload.candidates
    evaluator.evaluate(candidates)
    row: Row = {"candidates": len(candidates), AGREES: True}
    try:
        with waiting_is_an_error():
            evaluator.evaluate(candidates)
            evaluator.submit(candidates[: evaluator.num_free_slots])
            for _ in range(_REPLAYS):
                evaluator.advance(evaluator.ticks_per_look)
                evaluator.collect()
    except RuntimeError as error:
        row = {"why": text_of(error), AGREES: False}
    evaluator.cancel(range(evaluator.num_free_slots + evaluator.num_in_flight))
    return row


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Makes torch raise RuntimeError when the host would wait for the current device, while the context lasts."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _another_policy(bench: Bench, workload: Workload, evaluator: CompiledEvaluator) -> Row:
    candidates = workload.candidates
    own = evaluator.evaluate(candidates)
    before, addresses = compile_counts(), evaluator.buffer_addresses()
    evaluator.load_policy(random_policy(workload.dataset, workload.policy, seed=0))
    others = evaluator.evaluate(candidates)
    evaluator.load_policy(workload.policy)
    again = evaluator.evaluate(candidates)
    is_same_memory = (compile_counts(), evaluator.buffer_addresses()) == (before, addresses)
    return {
        "nothing captured, compiled or moved": is_same_memory,
        "the other proves otherwise": others != own,
        "the first again gives the same bits": again == own,
        AGREES: is_same_memory and others != own and again == own,
    }


def _captured(number: int, bench: Bench, workload: Workload, evaluator: CompiledEvaluator) -> Row:
    bench.require_cuda()
    return {"graphs": number, AGREES: number > 0}
