"""The machine code of the fused residual block, which the compiler of a tick only calls."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu_gate.absent_device import WARP_SIZE
from proofrank.core.policy.fused_block import NUM_STAGES, NUM_WARPS, constants_of, jitted_kernel


def compiled_block(size: int, products: str, capability: int) -> Any:
    """Compiles the kernel as it would be launched on a GPU.

    Args:
        size: size of the block.
        products: how its products are split.
        capability: 90 for sm_90.

    Returns:
        What triton makes of it; ``asm`` holds the PTX and the machine code.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = constants_of(size, products)
    pointers = ("features", "weight", "bias", "norm_weight", "norm_bias", "target")
    signature = {**dict.fromkeys(pointers, "*fp32"), "num_rows": "i32", "eps": "fp32"}
    is_aligned = {(place,): [["tt.divisibility", 16]] for place in range(len(pointers))}
    source = ASTSource(
        jitted_kernel(), {**signature, **dict.fromkeys(constants, "constexpr")}, constants, is_aligned
    )
    return triton.compile(
        source,
        target=GPUTarget("cuda", capability, WARP_SIZE),
        options={"num_warps": NUM_WARPS, "num_stages": NUM_STAGES},
    )
