"""Metrics that are read when Prometheus asks: counters of the evaluator and the compiler, memory, lengths of proofs.

Nothing here waits for the evaluator: its thread leaves snapshots, which are read instead.
"""

from __future__ import annotations

import resource
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

import torch
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proofrank.core.evaluator import Work
from proofrank.core.evaluator.artifacts import compile_counts
from proofrank.core.evaluator.available_memory import resident_bytes
from proofrank.service.scheduler import Snapshot

_COUNTED = {
    "ticks": "Ticks of the evaluator; each moves every moving lane by one step.",
    "rows_expanded": "Resolvents built.",
    "states_scored": "States that the network scored.",
    "states_padded": "Rows that the network computed, including padding.",
}
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100)


class WorkCollector(Collector):
    """Counters of the evaluator's work and gauges of its lanes."""

    def __init__(self) -> None:
        self._read: Callable[[], Snapshot] | None = None

    def watch(self, read: Callable[[], Snapshot]) -> None:
        """Sets the function that returns snapshots."""
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yields the families; all are zero before there is an evaluator, or if it has no counters."""
        snapshot = self._read() if self._read is not None else Snapshot(None, 0, 0, 0)
        work = snapshot.work if snapshot.work is not None else Work()
        for name, documentation in _COUNTED.items():
            yield CounterMetricFamily(f"proofrank_{name}", documentation, value=getattr(work, name))
        lane_ticks = CounterMetricFamily(
            "proofrank_lane_ticks",
            "Lanes at each tick, summed, by whether they had a candidate.",
            labels=["state"],
        )
        lane_ticks.add_metric(["busy"], work.lanes_busy)
        lane_ticks.add_metric(["idle"], work.lanes - work.lanes_busy)
        yield lane_ticks
        yield GaugeMetricFamily("proofrank_lanes", "Lanes of the bucket in use.", value=snapshot.num_lanes)
        yield GaugeMetricFamily(
            "proofrank_lanes_busy", "Candidates that have a lane.", value=snapshot.num_in_flight
        )
        yield GaugeMetricFamily(
            "proofrank_tasks", "Requests and chunks of jobs that wait or run.", value=snapshot.num_tasks
        )
        yield GaugeMetricFamily(
            "proofrank_padding_waste_ratio",
            "Share of the network's rows that were padding, since the start.",
            value=work.padding_waste,
        )


class CompilerCollector(Collector):
    """The compiler's counters in this process. Graphs traced outside of a warm-up count as recompiles."""

    def __init__(self) -> None:
        self._num_recompiles = 0
        self._graphs_when_warm: int | None = None

    def begin_warm_up(self) -> None:
        """Marks the start of a warm-up, in which new graphs are expected."""
        self._num_recompiles = self._recompiles()
        self._graphs_when_warm = None

    def end_warm_up(self) -> None:
        """Marks the end of a warm-up, after which no new graph is expected."""
        self._graphs_when_warm = compile_counts().graphs

    def _recompiles(self) -> int:
        if self._graphs_when_warm is None:
            return self._num_recompiles
        return self._num_recompiles + compile_counts().graphs - self._graphs_when_warm

    def collect(self) -> Iterable[Metric]:
        """Yields the families; all are zero if nothing is compiled."""
        counts = compile_counts()
        lookups = CounterMetricFamily(
            "proofrank_compile_cache", "Graphs that the compiler looked for in its cache.", labels=["result"]
        )
        lookups.add_metric(["hit"], counts.cache_hits)
        lookups.add_metric(["miss"], counts.cache_misses)
        yield lookups
        yield CounterMetricFamily(
            "proofrank_graph_breaks", "Places where the compiler cut a graph.", value=counts.graph_breaks
        )
        yield CounterMetricFamily(
            "proofrank_recompiles",
            "Graphs traced after the warm-up; expected to be 0.",
            value=self._recompiles(),
        )
        yield CounterMetricFamily(
            "proofrank_cuda_graph_captures", "CUDA graphs captured.", value=counts.cuda_graphs
        )


class MemoryCollector(Collector):
    """The memory in use: of the process on a CPU, of all CUDA devices on CUDA."""

    def collect(self) -> Iterable[Metric]:
        """Yields the family."""
        memory = GaugeMetricFamily(
            "proofrank_device_memory_bytes", "Memory in use by the evaluator's device.", labels=["kind"]
        )
        # Any other question would make torch initialise a device.
        if torch.cuda.is_initialized():
            devices = range(torch.cuda.device_count())
            memory.add_metric(["allocated"], sum(map(torch.cuda.memory_allocated, devices)))
            memory.add_metric(["reserved"], sum(map(torch.cuda.memory_reserved, devices)))
            memory.add_metric(["peak"], sum(map(torch.cuda.max_memory_allocated, devices)))
        else:
            memory.add_metric(["resident"], resident_bytes() or _peak_bytes())
        yield memory


def _peak_bytes() -> int:
    """The maximum so far, for systems that do not tell what is in use."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class StepsCollector(Collector):
    """A histogram of steps, to which a request may add a million trajectories at once."""

    def __init__(self) -> None:
        # [proved, bucket]: number of trajectories with at most the bucket's steps and more than the previous bucket's.
        self._counts = ([0] * (len(_STEPS) + 1), [0] * (len(_STEPS) + 1))
        self._sums = [0, 0]
        self._lock = threading.Lock()

    def observe(self, num_by_steps: Mapping[int, int], *, proved: bool) -> None:
        """Adds ``num_by_steps[n]`` trajectories of ``n`` steps for each ``n``."""
        with self._lock:
            for steps, number in num_by_steps.items():
                self._counts[proved][bisect_left(_STEPS, steps)] += number
                self._sums[proved] += steps * number

    def collect(self) -> Iterable[Metric]:
        """Yields the family."""
        family = HistogramMetricFamily(
            "proofrank_proof_steps",
            "Steps of the trajectories, by whether they are proofs.",
            labels=["proved"],
        )
        with self._lock:
            for proved in (False, True):
                up_to = accumulate(self._counts[proved])
                bounds = [*(str(float(steps)) for steps in _STEPS), "+Inf"]
                family.add_metric(
                    [str(proved).lower()], list(zip(bounds, up_to, strict=True)), self._sums[proved]
                )
        yield family
