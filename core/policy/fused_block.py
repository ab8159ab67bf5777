"""A residual block of the policy network as one kernel for CUDA, in Triton.

Only the engine ``fused-blocks`` uses it, by the operation in ``block_operation.py``. It has been compiled for sm_90 and
its formula has been run by Triton's interpreter, but it has never run on a GPU (``docs/gpu.md``). ``ResidualBlock`` is
the definition.

Tensor cores have no float32. A *split product* writes each float32 factor as a sum of two TF32 or three bfloat16
numbers and adds up the products of the parts, all but the smallest. Its error is that of a float32 product.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.policy.network import ResidualBlock

HAS_TRITON = find_spec("triton") is not None
"""Whether triton is installed; torch's CPU build brings none."""

if TYPE_CHECKING or HAS_TRITON:
    import triton
    import triton.language as tl
    from triton import knobs

SPLIT_PRODUCTS = ("tf32x3", "bf16x6")
"""Ways to split a float32 product: three products of TF32 parts, or six of bfloat16 parts."""

SIZES = (16, 32, 64, 128, 256)
"""Sizes of a block whose rows and sums fit into the registers of a program."""

TILE_ROWS = 64
"""Rows of a program. With 128 rows, or with 4 warps, the registers do not suffice on sm_90."""

NUM_WARPS = 8
NUM_STAGES = 2

CAPABILITY_MAJOR = 9
"""Generation of the GPUs that may run the kernel. Triton 3.7 makes code for 8.0 that spills, and for 10.0 a trap."""

_MOST_TILE_INPUTS = 32
"""Maximum inputs of a step of the product."""


def residual_block_kernel(
    features,
    weight,
    bias,
    norm_weight,
    norm_bias,
    target,
    num_rows,
    eps,
    SIZE: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_INPUTS: tl.constexpr,
    PRODUCTS: tl.constexpr,
):
    """Computes ``features + LayerNorm(ReLU(features @ weight.T + bias))`` for the rows of one tile.

    A program has whole rows, and takes the inputs in the same steps for any number of rows. Nothing of a row meets
    another row, and no sum is shared between programs.
    """
    rows = tl.program_id(0).to(tl.int64) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    outputs = tl.arange(0, SIZE)
    inputs = tl.arange(0, TILE_INPUTS)
    is_row = (rows < num_rows)[:, None]

    product = tl.zeros((TILE_ROWS, SIZE), dtype=tl.float32)
    for start in range(0, SIZE, TILE_INPUTS):
        left = tl.load(features + rows[:, None] * SIZE + (start + inputs)[None, :], mask=is_row, other=0.0)
        right = tl.load(weight + outputs[None, :] * SIZE + (start + inputs)[:, None])
        product = tl.dot(left, right, product, input_precision=PRODUCTS)

    hidden = product + tl.load(bias + outputs)[None, :]
    # As torch's ReLU does, it keeps a NaN.
    hidden = tl.maximum(hidden, 0.0, propagate_nan=tl.PropagateNan.ALL)
    centred = hidden - (tl.sum(hidden, axis=1) / SIZE)[:, None]
    variance = tl.sum(centred * centred, axis=1) / SIZE
    normed = centred * (1.0 / tl.sqrt_rn(variance + eps))[:, None]
    normed = normed * tl.load(norm_weight + outputs)[None, :] + tl.load(norm_bias + outputs)[None, :]

    places = rows[:, None] * SIZE + outputs[None, :]
    before = tl.load(features + places, mask=is_row, other=0.0)
    tl.store(target + places, before + normed, mask=is_row)


@functools.cache
def jitted_kernel() -> Any:
    """Returns the kernel as Triton's function; under ``TRITON_INTERPRET=1`` as one of its interpreter.

    Raises:
        EvaluationError: triton is missing.
    """
    if not HAS_TRITON:
        raise EvaluationError(
            "a fused residual block needs triton, which is not installed: pip install triton"
        )
    # Triton would compile other code for numbers of rows that 16 divides, and for a single row.
    return triton.jit(do_not_specialize=["num_rows"])(residual_block_kernel)


def constants_of(size: int, products: str) -> dict[str, Any]:
    """Returns the kernel's compile-time arguments by name.

    Args:
        size: size of the block, one of ``SIZES``.
        products: one of ``SPLIT_PRODUCTS``.

    Raises:
        EvaluationError: ``size`` or ``products`` is none of these.
    """
    if size not in SIZES:
        raise EvaluationError(
            f"a residual block has size {size}; fused are {', '.join(map(str, SIZES))}, others only plain"
        )
    if products not in SPLIT_PRODUCTS:
        raise EvaluationError(f"products is {products!r}; expected one of {', '.join(SPLIT_PRODUCTS)}")
    tile_inputs = min(size, _MOST_TILE_INPUTS)
    return {"SIZE": size, "TILE_ROWS": TILE_ROWS, "TILE_INPUTS": tile_inputs, "PRODUCTS": products}


def fused_residual_block(features: Tensor, block: ResidualBlock, products: str = "tf32x3") -> Tensor:
    """Computes ``block(features)`` in one launch, without gradients.

    The result differs from the block's own by rounding. The bits of a row depend on that row alone, not on
    other rows or on their number. Features must be finite.

    Args:
        features: ``[N, size]`` float32 on a CUDA device of compute capability 9; on the CPU only under
            ``TRITON_INTERPRET=1``.
        block: block with float32 parameters on the same device.
        products: one of ``SPLIT_PRODUCTS``.

    Returns:
        ``[N, size]`` float32.

    Raises:
        EvaluationError: triton is missing, or the GPU, the size, ``products``, a shape, dtype or device is not as
            above.
    """
    size = block.linear.in_features
    constants_of(size, products)
    parameters = [parameter.detach().contiguous() for parameter in parameters_of(block)]
    _check(features, size, parameters)
    return launch(features.detach().contiguous(), parameters, block.norm.eps, products)


def parameters_of(block: ResidualBlock) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns weight, bias, and the norm's weight and bias."""
    return block.linear.weight, block.linear.bias, block.norm.weight, block.norm.bias


def launch(features: Tensor, parameters: Sequence[Tensor], eps: float, products: str) -> Tensor:
    """Launches the kernel on contiguous tensors that have been checked.

    Args:
        features: ``[N, size]`` float32.
        parameters: of the block, as :func:`parameters_of` lists them.
        eps: of the layer norm.
        products: one of ``SPLIT_PRODUCTS``.

    Returns:
        ``[N, size]`` float32.
    """
    constants = constants_of(features.shape[1], products)
    num_rows = features.shape[0]
    target = torch.empty_like(features)
    if num_rows:
        grid = (-(-num_rows // TILE_ROWS),)
        with torch.cuda.device_of(features):
            jitted_kernel()[grid](
                features,
                *parameters,
                target,
                num_rows,
                eps,
                **constants,
                num_warps=NUM_WARPS,
                num_stages=NUM_STAGES,
            )
    return target


def check_device(device: torch.device) -> None:
    """Refuses a device on which the kernel cannot run.

    Raises:
        EvaluationError: it is no CUDA device, its generation is another one, or triton is missing.
    """
    if device.type != "cuda":
        raise EvaluationError(f"a fused residual block needs a CUDA device; this is {device}")
    jitted_kernel()
    check_capability(torch.cuda.get_device_capability(device))


def check_capability(capability: tuple[int, int]) -> None:
    """Refuses a GPU for which the kernel has no good code.

    Args:
        capability: compute capability, major and minor.

    Raises:
        EvaluationError: the major number is not ``CAPABILITY_MAJOR``.
    """
    major, minor = capability
    if major != CAPABILITY_MAJOR:
        raise EvaluationError(
            f"the GPU has compute capability {major}.{minor}; a fused residual block needs {CAPABILITY_MAJOR}.x"
        )


def _check(features: Tensor, size: int, parameters: list[Tensor]) -> None:
    jitted_kernel()
    if features.dim() != 2 or features.shape[1] != size:
        raise EvaluationError(f"features have the shape {list(features.shape)}; expected [N, {size}]")
    for name, tensor in (("features", features), *(("a parameter of the block", one) for one in parameters)):
        if tensor.dtype != torch.float32:
            raise EvaluationError(f"{name} has the dtype {tensor.dtype}; expected torch.float32")
        if tensor.device != features.device:
            raise EvaluationError(
                f"{name} is on {tensor.device}; expected {features.device}, as the features"
            )
    if features.device.type == "cuda":
        check_capability(torch.cuda.get_device_capability(features.device))
    elif not knobs.runtime.interpret:
        raise EvaluationError(
            f"features are on {features.device}; a fused residual block needs a CUDA device, or TRITON_INTERPRET=1"
        )
