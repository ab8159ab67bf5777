"""Compile modes: how the parts of a tick are turned into machine code.

``eager`` compiles nothing; ``default`` compiles the whole tick as one function, but on a CPU its two halves, ahead of
time (``core.evaluator.packages``), with the network between them on the states there are; ``reduce-overhead`` compiles
the whole at its first call and captures some ticks into one CUDA graph (``core.evaluator.graphs``); ``captured``
captures the tick as it is, without the compiler, and on a CPU, where nothing can be captured, runs on the same buffers
of fixed shape through the same loop; ``graph-trees`` leaves the capture of each tick to the compiler; ``separate``
compiles the environment and the policy apart; ``fused-blocks`` is ``reduce-overhead`` with each residual block of the
network as one kernel, whose sums are rounded otherwise than those of all other modes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import torch

from proofrank.core.errors import EvaluationError, did_you_mean, nearest_names
from proofrank.core.evaluator.first_import import load_compiler
from proofrank.core.evaluator.packages import PackageCache, is_available
from proofrank.core.evaluator.tick import HalvedTick, SeparateTick, Tick, TrimmedTick, WholeTick
from proofrank.core.evaluator.tick_program import tensors_of

_APART: dict[str, Any] = (
    {"isolate_recompiles": True}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters
    else {}
)
"""All ticks share their code, of which the compiler keeps eight versions at most. With this option each tick has its
own: buckets are not counted against each other, and no mode runs on what was compiled for another. With a torch that
has no such option, more buckets than that go on without the compiler, with a warning."""


class Compilation(Enum):
    """When the compiler makes machine code of a tick."""

    NEVER = "never"
    AT_FIRST_CALL = "at first call"
    AHEAD_OF_TIME = "ahead of time"


class _Way(NamedTuple):
    """How a mode runs on one kind of device; see :class:`Mode`."""

    tick: type[Tick]
    compilation: Compilation = Compilation.NEVER
    is_recorded: bool = False
    products: str | None = None


_ON_A_CPU: Mapping[str, _Way] = {
    "eager": _Way(TrimmedTick),
    "default": _Way(HalvedTick, Compilation.AHEAD_OF_TIME),
    "separate": _Way(SeparateTick, Compilation.AT_FIRST_CALL),
    "captured": _Way(WholeTick, is_recorded=True),
}

_ELSEWHERE: Mapping[str, _Way] = {
    "eager": _Way(WholeTick),
    "default": _Way(WholeTick, Compilation.AT_FIRST_CALL),
    "reduce-overhead": _Way(WholeTick, Compilation.AT_FIRST_CALL, is_recorded=True),
    "separate": _Way(SeparateTick, Compilation.AT_FIRST_CALL),
    "captured": _Way(WholeTick, is_recorded=True),
    "graph-trees": _Way(WholeTick, Compilation.AT_FIRST_CALL),
    "fused-blocks": _Way(WholeTick, Compilation.AT_FIRST_CALL, is_recorded=True, products="tf32x3"),
}

COMPILE_MODES = tuple(_ELSEWHERE)

PARTIAL = "-partial"
"""End of the name of an engine whose parts the compiler need not take as one graph each."""


@dataclass(frozen=True)
class Mode:
    """One way to run the tick.

    Attributes:
        compile_mode: one of ``COMPILE_MODES``.
        fullgraph: whether the compiler must take each part as one graph.
        tick: the class of the ticks: whether they are run whole or in halves, and what is read back.
        compilation: when the compiler has its turn.
        is_recorded: whether groups of ticks are recorded and replayed, and the host looks at what is done one replay
            late.
        products: how the products of fused residual blocks are split, one of
            ``proofrank.core.policy.fused_block.SPLIT_PRODUCTS``; None where blocks are computed as defined.
    """

    compile_mode: str
    fullgraph: bool
    tick: type[Tick]
    compilation: Compilation
    is_recorded: bool
    products: str | None = None

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
        if compile_mode not in _ON_A_CPU and device.type != "cuda":
            raise EvaluationError(
                f"compile mode {compile_mode!r} captures CUDA graphs and needs a CUDA device"
            )
        way = (_ON_A_CPU if device.type == "cpu" else _ELSEWHERE)[compile_mode]
        if way.compilation is Compilation.AHEAD_OF_TIME and not (fullgraph and is_available()):
            way = way._replace(compilation=Compilation.AT_FIRST_CALL)
        return cls(compile_mode, fullgraph, way.tick, way.compilation, way.is_recorded, way.products)

    @property
    def is_trimming(self) -> bool:
        """Whether buffers follow the true counts."""
        return self.tick is TrimmedTick

    @property
    def is_compiled(self) -> bool:
        """Whether there is anything for a compiler to do."""
        return self.compilation is not Compilation.NEVER

    def uncompiled(self, device: torch.device) -> Mode:
        """The mode that takes the place of this one on ``device`` without a compiler."""
        is_captured = self.is_recorded and device.type == "cuda"
        return Mode.of("captured" if is_captured else "eager", fullgraph=self.fullgraph, device=device)

    @property
    def engine(self) -> str:
        """The engine's name."""
        if not self.is_compiled or self.fullgraph:
            return self.compile_mode
        return f"{self.compile_mode}{PARTIAL}"


def compile_tick(tick: Tick, mode: Mode, packages: PackageCache) -> None:
    """Has ``tick`` compiled as ``mode`` says, now or at its first call.

    Raises:
        PackageError: it is to be compiled now and cannot be.
    """
    if mode.compilation is Compilation.AHEAD_OF_TIME:
        assert isinstance(tick, HalvedTick)
        packages.compile(tick, mode)
    elif mode.compilation is Compilation.AT_FIRST_CALL:
        if mode.compile_mode == "graph-trees":
            # The compiler captures nothing that writes to its inputs, but to those that are said to stay where they
            # are.
            for tensor in tensors_of(tick):
                torch._dynamo.mark_static_address(tensor)
        options = compiler_options(mode, tick.buffers.endf_feature.device)
        tick.compile(
            partial(torch.compile, fullgraph=mode.fullgraph, dynamic=False, options=options, **_APART)
        )


def compiler_options(mode: Mode, device: torch.device) -> dict[str, str | int | bool | Callable[..., Any]]:
    """Options of the compiler for ``mode`` on ``device``, where they differ from its defaults."""
    options: dict[str, str | int | bool | Callable[..., Any]] = {}
    if mode.compile_mode == "graph-trees":
        options["triton.cudagraphs"] = True
    if device.type != "cuda":
        return options
    load_compiler()
    from torch._inductor import config

    if hasattr(config, "batch_invariant"):
        # Else the tree of a sum, and so its bits, is chosen by the number of rows, which the buckets do not share.
        options["batch_invariant"] = True
    if hasattr(config, "combo_kernels_pointwise_only"):
        # Elementwise kernels that do not need each other share a launch. Their bits do not depend on that; kernels
        # with sums stay as they are.
        options["combo_kernels"] = True
        options["combo_kernels_pointwise_only"] = True
    return options
