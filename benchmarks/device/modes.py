"""The variants of the evaluator on a device: every compile mode, with whole and partial graphs, in a precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from proofrank.core.evaluator.modes import COMPILE_MODES, Mode


@dataclass(frozen=True)
class Contestant:
    """A variant of the tick.

    Attributes:
        compile_mode: one of ``proofrank.core.evaluator.modes.COMPILE_MODES``.
        fullgraph: whether the compiler must take the tick as one graph.
    """

    compile_mode: str
    fullgraph: bool

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.compile_mode + ("" if self.fullgraph else ", partial graphs")


def contestants(first: str) -> list[Contestant]:
    """Returns all variants, that of the compile mode ``first`` before the others, whether or not the device has
    them.
    """
    modes = [first, *(mode for mode in COMPILE_MODES if mode != first)]
    whole = [Contestant(mode, fullgraph=True) for mode in modes]
    partial = [Contestant(mode, fullgraph=False) for mode in modes if is_compiled(mode)]
    return whole + partial


def is_compiled(compile_mode: str) -> bool:
    """Returns whether a mode uses a compiler."""
    # On CUDA, which supports all modes.
    return Mode.of(compile_mode, fullgraph=True, device=torch.device("cuda")).is_compiled
