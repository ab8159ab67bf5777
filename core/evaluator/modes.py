"""Compile modes: how the parts of a tick are turned into machine code.

``eager`` compiles nothing; ``default`` compiles the whole tick as one function, but on a CPU its two halves, ahead of
time (``core.evaluator.packages``), with the network between them on the states there are; ``reduce-overhead`` compiles
the whole at its first call and captures some ticks into one CUDA graph (``core.evaluator.graphs``); ``captured``
captures the tick as it is, without the compiler, and on a CPU, where nothing can be captured, runs on the same buffers
of fixed shape through the same loop; ``graph-trees`` leaves the capture of each tick to the compiler; ``separate``
compiles the environment and the policy apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch._inductor import config

from proofrank.core.errors import EvaluationError, did_you_mean, nearest_names
from proofrank.core.evaluator.packages import PackageCache, is_available
from proofrank.core.evaluator.tick import Tick
from proofrank.core.evaluator.tick_program import tensors_of

COMPILE_MODES = ("eager", "default", "reduce-overhead", "separate", "captured", "graph-trees")

_UNCOMPILED = ("eager", "captured")
_ON_CUDA_ALONE = ("reduce-overhead", "graph-trees")
_RECORDED = ("reduce-overhead", "captured")

_APART: dict[str, Any] = (
    {"isolate_recompiles": True}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters
    else {}
)
"""All ticks share their code, of which the compiler keeps eight versions at most. With this option each tick has its
own: buckets are not counted against each other, and no mode runs on what was compiled for another. With a torch that
has no such option, more buckets than that go on without the compiler, with a warning."""


@dataclass(frozen=True)
class Mode:
    """One way to run the tick.

    Attributes:
        compile_mode: one of ``COMPILE_MODES``.
        fullgraph: whether the compiler must take each part as one graph.
        is_trimming: whether buffers follow the true counts.
        is_counting: whether the host looks how many states a tick has to score, and the network computes no more.
        is_packaged: whether the tick is compiled ahead of time.
        is_recorded: whether groups of ticks are recorded and replayed, and the host looks at what is done one replay
            late.
    """

    compile_mode: str
    fullgraph: bool
    is_trimming: bool
    is_counting: bool
    is_packaged: bool
    is_recorded: bool

    @classmethod
    def of(cls, compile_mode: str, *, fullgraph: bool, device: torch.device) -> Mode:
        """The mode of that name on ``device``.

        Raises:
            EvaluationError: there is no such mode, or not on this device.
        """
        if compile_mode not in COMPILE_MODES:
            near = did_you_mean(nearest_names(compile_mode, COMPILE_MODES))
            raise EvaluationError(
                f"unknown compile mode {compile_mode!r}{near}; expected one of {', '.join(COMPILE_MODES)}"
            )
        if compile_mode in _ON_CUDA_ALONE and device.type != "cuda":
            raise EvaluationError(
                f"compile mode {compile_mode!r} captures CUDA graphs and needs a CUDA device"
            )
        is_on_cpu = device.type == "cpu"
        is_counting = compile_mode == "default" and is_on_cpu
        return cls(
            compile_mode,
            fullgraph,
            is_trimming=compile_mode == "eager" and is_on_cpu,
            is_counting=is_counting,
            is_packaged=is_counting and fullgraph and is_available(),
            is_recorded=compile_mode in _RECORDED,
        )

    @property
    def is_compiled(self) -> bool:
        """Whether there is anything for a compiler to do."""
        return self.compile_mode not in _UNCOMPILED

    def uncompiled(self, device: torch.device) -> Mode:
        """What is left of this mode on ``device`` where there is no compiler."""
        is_captured = self.is_recorded and device.type == "cuda"
        return Mode.of("captured" if is_captured else "eager", fullgraph=self.fullgraph, device=device)

    @property
    def engine(self) -> str:
        """The engine's name."""
        if not self.is_compiled or self.fullgraph:
            return self.compile_mode
        return f"{self.compile_mode}-partial"


def compile_tick(tick: Tick, mode: Mode, packages: PackageCache) -> None:
    """Replaces the parts of ``tick`` by compiled ones, as ``mode`` says; unless it is packaged, the compiler runs at
    their first call.

    Raises:
        PackageError: it is to be packaged and cannot be.
    """
    if not mode.is_compiled:
        return
    if mode.is_packaged:
        packages.compile(tick, mode)
        return
    compiled = partial(
        torch.compile,
        fullgraph=mode.fullgraph,
        dynamic=False,
        options=compiler_options(mode, tick.endf_feature.device),
        **_APART,
    )
    if mode.is_counting:
        tick.first_half = compiled(tick.first_half)
        tick.second_half = compiled(tick.second_half)
        return
    # One product for all rows: the compiler then has one copy of the network to deal with, not one a chunk.
    tick.features.is_chunked = False
    if mode.compile_mode == "separate":
        tick.begin = compiled(tick.begin)
        tick.score = compiled(tick.score)
        tick.finish = compiled(tick.finish)
        return
    if mode.compile_mode == "graph-trees":
        # The compiler captures nothing that writes to its inputs, but to those that are said to stay where they are.
        for tensor in tensors_of(tick):
            torch._dynamo.mark_static_address(tensor)
    tick.whole = compiled(tick.tick_functional)


def compiler_options(mode: Mode, device: torch.device) -> dict[str, str | int | bool | Callable[..., Any]]:
    """What the compiler is told for ``mode`` on ``device``: nothing but what differs from its own defaults."""
    options: dict[str, str | int | bool | Callable[..., Any]] = {}
    if mode.compile_mode == "graph-trees":
        options["triton.cudagraphs"] = True
    if device.type == "cuda" and hasattr(config, "batch_invariant"):
        # Else the tree of a sum, and so its bits, is chosen by the number of rows, which the buckets do not share.
        options["batch_invariant"] = True
    return options
