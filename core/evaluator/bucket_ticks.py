"""The ticks of the buckets: made when they are first used, compiled and recorded as the mode says.

Where the compiler fails, all buckets go on without it, with one warning, on new lanes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proofrank.core.evaluator.artifacts import ArtifactCache, first_of_error
from proofrank.core.evaluator.first_import import load_compiler
from proofrank.core.evaluator.graphs import CallingRecorder, GraphRecorder, RecordedTicks
from proofrank.core.evaluator.kernel_choices import kernel_choices
from proofrank.core.evaluator.modes import Compilation, Mode, compile_tick
from proofrank.core.evaluator.packages import PackageCache, PackageError
from proofrank.core.evaluator.tick import Tick
from proofrank.core.evaluator.tick_program import tensors_of
from proofrank.core.policy.features import CHUNK_ROWS, StateFeatures

logger = logging.getLogger("proofrank")


class BucketTicks:
    """A tick for each number of lanes."""

    def __init__(
        self,
        make_tick: Callable[[int, Mode], Tick],
        mode: Mode,
        features: StateFeatures,
        device: torch.device,
        *,
        ticks_per_replay: int,
        cache_folder: Path,
        key: Mapping[str, Any],
        on_lanes_lost: Callable[[], None],
    ) -> None:
        """Makes none yet.

        Args:
            make_tick: the tick of a bucket on new lanes, not compiled, for a number of lanes and a mode.
            mode: how ticks are compiled and recorded.
            features: the network that all ticks share.
            device: where they run.
            ticks_per_replay: the ticks that are recorded as one, where the mode records.
            cache_folder: where compiled artifacts are kept.
            key: of the compiler's artifacts, all but the mode and the bucket.
            on_lanes_lost: told when the lanes of all buckets are gone, with the candidates in them.
        """
        self.mode = mode
        self._make_tick = make_tick
        self._features = features
        self._device = device
        self._ticks_per_replay = ticks_per_replay
        self._key = dict(key)
        self._on_lanes_lost = on_lanes_lost
        self._artifacts = ArtifactCache(cache_folder)
        self._packages = PackageCache(cache_folder)
        captures_graphs = mode.is_recorded and device.type == "cuda"
        self._recorder = GraphRecorder(device) if captures_graphs else CallingRecorder()
        self._ticks: dict[int, Tick] = {}
        self._recorded: dict[int, RecordedTicks] = {}

    def tick(self, num_lanes: int) -> Tick:
        """The tick of the bucket, made if it is not there yet."""
        self._make(num_lanes)
        return self._ticks[num_lanes]

    def advance(self, num_ticks: int, num_lanes: int) -> None:
        """Runs ticks of the bucket."""
        self._make(num_lanes)
        self._recorded[num_lanes].advance(num_ticks)

    def drop(self, slots: Tensor) -> None:
        """Frees the lanes of the candidates in ``slots`` ``[n]`` int64, in all buckets."""
        for tick in self._ticks.values():
            tick.drop(slots)

    def counts(self) -> list[dict[str, int]]:
        """The counters of each bucket by name."""
        return [tick.counts() for tick in self._ticks.values()]

    def tensors(self) -> list[Tensor]:
        """Every static tensor of the ticks."""
        return [
            tensor for tick in self._ticks.values() for tensor in (*tensors_of(tick), *tick.extra_tensors())
        ]

    def _make(self, num_lanes: int) -> None:
        if num_lanes in self._recorded:
            return
        tick = self._compiled(num_lanes)
        # Asked after it was made, for the mode may have changed.
        group = self._ticks_per_replay if self.mode.is_recorded else 1
        self._ticks[num_lanes] = tick
        self._recorded[num_lanes] = RecordedTicks(tick.run, group, self._recorder)

    def _compiled(self, num_lanes: int) -> Tick:
        """The tick, compiled as the mode says; not compiled, with a warning, where that cannot be done."""
        tick = self._make_tick(num_lanes, self.mode)
        if not self.mode.is_compiled:
            return tick
        load_compiler()
        from torch import _dynamo as dynamo
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
        from torch._inductor.exc import InductorError, InvalidCxxCompiler

        compiler_errors = (TorchDynamoException, FailOnRecompileLimitHit, InductorError, InvalidCxxCompiler)
        num_states = tick.environment.capacities.num_states
        if self._device.type == "cuda" and not self._features.has_same_bits_whole(num_states):
            logger.warning(
                "this device multiplies %d rows with other bits than %d: log-probabilities of mode %r may differ by "
                "rounding between buckets; mode 'captured' keeps them equal",
                num_states,
                CHUNK_ROWS,
                self.mode.engine,
            )
        key = {**self._key, "mode": self.mode, "capacities": tick.environment.capacities}
        try:
            compile_tick(tick, self.mode, self._packages)
            folder = (
                nullcontext()
                if self.mode.compilation is Compilation.AHEAD_OF_TIME
                else self._artifacts.using(key)
            )
            # Else a partial graph of which there are too many versions would run uncompiled, unnoticed.
            limit = dynamo.config.patch(fail_on_recompile_limit_hit=True)
            with folder, limit, kernel_choices(self._device), torch.inference_mode():
                tick.run()
        except (PackageError, *compiler_errors) as error:
            logger.warning(
                "mode %r cannot be compiled here (%s); going on without the compiler, which is slower",
                self.mode.engine,
                first_of_error(error),
            )
            self.mode = self.mode.uncompiled(self._device)
            self._features.compute_in_chunks()
            # Without the compiler, the engine's name is that of a mode that computes the network as defined.
            self._features.fuse_blocks(None)
            # One mode for all buckets: those compiled before are made again when they are next used.
            self._ticks.clear()
            self._recorded.clear()
            self._on_lanes_lost()
            return self._compiled(num_lanes)
        return tick
