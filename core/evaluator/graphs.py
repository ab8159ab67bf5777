"""Ticks recorded once and replayed at the cost of one launch.

On CUDA the kernels of ``k`` ticks are captured into one graph; a replay is one call, whatever they are. A tick reads
and writes static buffers alone, and reads nothing back, so that what was captured for one set of candidates and one
policy holds for all. Elsewhere there is nothing to capture, and the ticks are called one after another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import torch

from proofrank.core.evaluator.artifacts import count_captured_graph, first_of_error

logger = logging.getLogger("proofrank")

_WARM_UP_TICKS = 3
"""Before a capture: compilers, libraries and allocators set themselves up in the first calls, outside of any graph."""

TickFunction = Callable[[], None]


class Recorder(Protocol):
    """Makes one function of several calls of another."""

    def record(self, tick: TickFunction, num_ticks: int) -> TickFunction:
        """A function that does what ``num_ticks`` calls of ``tick`` do. It may call ``tick`` meanwhile.

        Raises:
            RuntimeError: ``tick`` cannot be recorded.
        """
        ...


class CallingRecorder:
    """Records nothing: the calls are made one after another."""

    def record(self, tick: TickFunction, num_ticks: int) -> TickFunction:
        """See :class:`Recorder`."""

        def call() -> None:
            for _ in range(num_ticks):
                tick()

        return call


class GraphRecorder:
    """Captures CUDA graphs; all of them take what a tick allocates from one pool.

    They may share it because no graph leaves anything in it, and because one stream replays them one after another.
    The thread that makes the recorder must be the one that replays.
    """

    def __init__(self, device: torch.device) -> None:
        """A recorder on ``device``, with a stream and a memory pool of its own."""
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)
            self._memory_pool = torch.cuda.graph_pool_handle()

    def record(self, tick: TickFunction, num_ticks: int) -> TickFunction:
        """See :class:`Recorder`; ``tick`` is called a few times, each of which moves the lanes as any tick does.

        Raises:
            RuntimeError: ``tick`` does something that cannot be captured.
        """
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP_TICKS):
                    tick()
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile: only what this one does is captured. A capture that fails
            # leaves its own stream the current one: the outer context puts the other back.
            with (
                torch.cuda.stream(current),
                torch.cuda.graph(
                    graph, pool=self._memory_pool, stream=self._stream, capture_error_mode="thread_local"
                ),
            ):
                for _ in range(num_ticks):
                    tick()
        count_captured_graph()
        return graph.replay


class RecordedTicks:
    """The ticks of a bucket, recorded one by one and in groups; called one after another where that fails."""

    def __init__(self, tick: TickFunction, ticks_per_replay: int, recorder: Recorder) -> None:
        """Records; logs a warning where ``tick`` cannot be recorded.

        Args:
            tick: moves every lane of the bucket by one step.
            ticks_per_replay: k, the ticks of a group.
            recorder: of the device.

        Raises:
            torch.OutOfMemoryError: there is no memory for it.
        """
        self._ticks_per_replay = ticks_per_replay
        try:
            self._record(tick, recorder)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logger.warning(
                "ticks cannot be captured here (%s); going on without, which is slower and gives the same results",
                first_of_error(error),
            )
            self._record(tick, CallingRecorder())

    def _record(self, tick: TickFunction, recorder: Recorder) -> None:
        group = recorder.record(tick, self._ticks_per_replay)
        self._single = recorder.record(tick, 1) if self._ticks_per_replay > 1 else group
        self._group = group

    def advance(self, num_ticks: int) -> None:
        """Runs ``num_ticks`` ticks: as many groups as fit, the rest one by one."""
        num_groups, num_single = divmod(num_ticks, self._ticks_per_replay)
        for _ in range(num_groups):
            self._group()
        for _ in range(num_single):
            self._single()
