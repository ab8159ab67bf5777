"""What can be asked of the evaluator on a device: every compile mode, whole and in partial graphs, in a precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from proofrank.core.evaluator.modes import COMPILE_MODES, Mode


@dataclass(frozen=True)
class Contestant:
    """A way to run the tick.

    Attributes:
        compile_mode: one of ``proofrank.core.evaluator.modes.COMPILE_MODES``.
        fullgraph: whether the compiler must take the tick as one graph.
    """

    compile_mode: str
    fullgraph: bool

    @property
    def name(self) -> str:
        """As tables call it."""
        return self.compile_mode + ("" if self.fullgraph else ", partial graphs")


def contestants(first: str) -> list[Contestant]:
    """All of them, that of the compile mode ``first`` before the others; whether a device has them it says itself."""
    modes = [first, *(mode for mode in COMPILE_MODES if mode != first)]
    whole = [Contestant(mode, fullgraph=True) for mode in modes]
    partial = [Contestant(mode, fullgraph=False) for mode in modes if is_compiled(mode)]
    return whole + partial


def is_compiled(compile_mode: str) -> bool:
    """Whether a mode has anything for a compiler to do."""
    # On CUDA, which has all of them.
    return Mode.of(compile_mode, fullgraph=True, device=torch.device("cuda")).is_compiled
