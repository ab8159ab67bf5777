"""A choice of the compiler's code generator that is wrong for a tick on CUDA, and the right one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from proofrank.core.evaluator.first_import import load_compiler

LEAST_LANES = 128
"""Number of terms from which the only sum of a kernel is computed in a loop."""


@contextmanager
def kernel_choices(device: torch.device) -> Iterator[None]:
    """Has kernels of ``device`` that are compiled meanwhile, in this thread, compute sums over all lanes with several
    warps.

    With ``batch_invariant`` the compiler plans each sum as if its kernel had thousands of them, and gives it one warp.
    A sum over the lanes is the only one of its kernel: with one warp it would be slow, and its registers would spill.
    These sums are of integers, so that no result depends on the order. Elsewhere than on CUDA nothing changes.
    """
    if device.type != "cuda":
        yield
        return
    load_compiler()
    from torch._inductor import config

    if not hasattr(config, "batch_invariant"):
        yield
        return
    from torch._inductor.choices import InductorChoices
    from torch._inductor.virtualized import V

    class TickChoices(InductorChoices):
        """The compiler's own, with one exception."""

        @staticmethod
        def should_use_persistent_reduction(features: Any, cooperative_reduction: bool) -> bool:
            """Whether a kernel keeps all terms of a sum in registers."""
            if features.numel == 1 and features.reduction_numel >= LEAST_LANES:
                return False
            return InductorChoices.should_use_persistent_reduction(features, cooperative_reduction)

    with V.set_choices_handler(TickChoices()):
        yield
