"""The fused residual block: its formula, the precision of split products, and its machine code, all without a GPU."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from proofrank.core.errors import EvaluationError
from proofrank.core.policy import PolicyConfig, PolicyNetwork
from proofrank.core.policy.block_operation import residual_block
from proofrank.core.policy.fused_block import (
    CAPABILITY_MAJOR,
    HAS_TRITON,
    SIZES,
    SPLIT_PRODUCTS,
    check_capability,
    check_device,
    fused_residual_block,
)
from proofrank.core.policy.network import ResidualBlock
from tests.helpers.interpreted_block import drawn_block
from tests.helpers.split_products import PRODUCTS, block_by, multiply_by, parts, to_bfloat16, to_tf32
from tests.helpers.web_libraries import ROOT

needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="needs triton: pip install 'proofrank[test]'")

MOST_SHARED_BYTES = 232_448
"""Shared memory of one block on sm_90."""


# --- The formula, by Triton's interpreter.


@needs_triton
def test_the_kernel_computes_the_block_and_no_row_depends_on_another() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.interpreted_block"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert len(found["errors"]) == 5
    assert max(found["errors"].values()) < 1e-5
    assert found["other_bits"] == 0
    assert found["nan_rows"] == [False, True, False]


# --- What is refused.


def test_a_size_or_a_split_that_the_kernel_has_not_is_refused() -> None:
    with pytest.raises(EvaluationError, match="size 48; fused are 16, 32, 64, 128, 256"):
        fused_residual_block(torch.zeros(1, 48), ResidualBlock(48, eps=1e-5))
    with pytest.raises(EvaluationError, match="products is 'tf32'; expected one of tf32x3, bf16x6"):
        fused_residual_block(torch.zeros(1, 64), ResidualBlock(64, eps=1e-5), products="tf32")


@needs_triton
def test_features_of_another_shape_dtype_or_device_are_refused() -> None:
    block = ResidualBlock(64, eps=1e-5)
    with pytest.raises(EvaluationError, match=r"shape \[1, 32\]; expected \[N, 64\]"):
        fused_residual_block(torch.zeros(1, 32), block)
    with pytest.raises(EvaluationError, match=r"features has the dtype torch\.bfloat16"):
        fused_residual_block(torch.zeros(1, 64, dtype=torch.bfloat16), block)
    with pytest.raises(EvaluationError, match="parameter of the block is on cpu; expected meta"):
        fused_residual_block(torch.zeros(1, 64, device="meta"), block)
    with pytest.raises(EvaluationError, match=r"features are on cpu; .* needs a CUDA device"):
        fused_residual_block(torch.zeros(1, 64), block)


def test_a_cpu_is_refused_as_the_device_of_the_kernel() -> None:
    with pytest.raises(EvaluationError, match="a fused residual block needs a CUDA device; this is cpu"):
        check_device(torch.device("cpu"))


def test_the_operation_that_a_compiler_sees_is_the_definition_on_a_cpu() -> None:
    block = drawn_block(64, torch.Generator().manual_seed(1))
    features = torch.randn(5, 64, generator=torch.Generator().manual_seed(2))

    assert torch.equal(residual_block(features, block, "tf32x3"), block(features))
    torch.library.opcheck(
        torch.ops.proofrank.residual_block.default,
        (
            features, block.linear.weight, block.linear.bias, block.norm.weight, block.norm.bias, block.norm.eps,
            "tf32x3",
        ),
        test_utils=("test_schema", "test_faketensor"),
    )  # fmt: skip


# --- The precision of split products, imitated in float32.


def test_parts_add_up_to_the_number() -> None:
    values = torch.randn(4096, generator=torch.Generator().manual_seed(0))

    for rounded, number, bits in ((to_tf32, 2, 22), (to_bfloat16, 3, 24)):
        left_over = values.double() - sum(part.double() for part in parts(values, rounded, number))
        assert (left_over.abs() <= values.abs().double() * 2.0**-bits).all()


def logits_by(products: str) -> Tensor:
    """Logits of the same states by a network of the usual shape; ``float64`` for the definition in that type."""
    torch.manual_seed(3)
    network = PolicyNetwork(PolicyConfig(), num_predicates=8, num_constants=400).eval().requires_grad_(False)
    for table in (network.embedding.predicates, network.embedding.arguments):
        table.copy_(torch.randn(table.shape))
    states = torch.stack([torch.randint(1, most, (257, 6)) for most in (9, 401, 401)], dim=-1)
    if products == "float64":
        return network.double()(states[0], states[1:])
    multiply_by(products, network)
    return network(states[0], states[1:])


def test_split_products_are_as_good_as_float32_and_unsplit_ones_are_not() -> None:
    exact = logits_by("float64")
    error = {name: (logits_by(name).double() - exact).abs().max().item() for name in PRODUCTS}
    print(error)

    assert exact.abs().max() > 0.1
    for name in SPLIT_PRODUCTS:
        assert error[name] < 5e-6
        assert error[name] < 2 * error["float32"]
    assert error["tf32"] > 100 * error["float32"]


@pytest.mark.parametrize("products", SPLIT_PRODUCTS)
def test_a_block_by_split_products_is_as_good_as_by_float32(products: str) -> None:
    generator = torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    block = ResidualBlock(256, eps=1e-5).requires_grad_(False)
    features = torch.randn(512, 256, generator=generator)
    exact = copy.deepcopy(block).double()(features.double())

    def error(name: str) -> float:
        return (block_by(name, features, block).double() - exact).abs().max().item()

    assert error(products) < min(1e-5, 2 * error("float32"))
    assert error("tf32") > 20 * error(products)


# --- The machine code for sm_90.


@needs_triton
@pytest.mark.parametrize(
    ("size", "products"),
    [
        pytest.param(size, products, marks=() if size in (64, 256) else pytest.mark.slow)
        for size in SIZES
        for products in SPLIT_PRODUCTS
    ],
)
def test_the_machine_code_uses_tensor_cores_and_does_not_spill(size: int, products: str) -> None:
    from benchmarks.gpu_gate.fused import compiled_block
    from benchmarks.gpu_gate.machine_code import read_machine_code

    binary = compiled_block(size, products, 90)
    code = read_machine_code(binary.asm["cubin"], binary.metadata.shared)

    assert (code.stack_bytes, code.spill_instructions) == (0, 0)
    assert code.registers <= 255
    assert code.shared_bytes <= MOST_SHARED_BYTES
    assert code.tensor_core_instructions > 0
    assert ("wgmma.mma_async" in binary.asm["ptx"]) or size < 64
    assert not code.is_hollow and not code.is_trap
    # The interpreter keeps a NaN in any case.
    assert set(re.findall(r"\bmax[.\w]+", binary.asm["ptx"])) == {"max.NaN.f32"}
    # No sum is shared between programs, so no row's bits depend on their order.
    assert re.search(r"^\s*(@!?%p\d+ )?(atom|red)\.", binary.asm["ptx"], flags=re.MULTILINE) is None


@needs_triton
@pytest.mark.parametrize("capability", [80, 100])
def test_a_gpu_for_which_the_code_spills_or_is_a_trap_is_refused(capability: int) -> None:
    from benchmarks.gpu_gate.fused import compiled_block
    from benchmarks.gpu_gate.machine_code import read_machine_code

    binary = compiled_block(256, "tf32x3", capability)
    code = read_machine_code(binary.asm["cubin"], binary.metadata.shared)
    assert code.is_spilling or code.is_trap

    major, minor = divmod(capability, 10)
    with pytest.raises(EvaluationError, match=rf"compute capability {major}\.{minor}; .* needs 9\.x"):
        check_capability((major, minor))
    check_capability((9, 0))


# --- On a card.


@needs_triton
@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != CAPABILITY_MAJOR,
    reason="needs a CUDA device of compute capability 9",
)
@pytest.mark.parametrize("products", SPLIT_PRODUCTS)
@pytest.mark.parametrize("size", SIZES)
def test_on_cuda_rows_are_as_exact_as_float32_and_have_the_same_bits_among_any_rows(
    size: int, products: str
) -> None:
    generator = torch.Generator().manual_seed(size)
    block = drawn_block(size, generator)
    features = torch.randn(1000, size, generator=generator)
    exact = copy.deepcopy(block).double()(features.double())
    on_cuda = copy.deepcopy(block).cuda()

    found = fused_residual_block(features.cuda(), on_cuda, products).cpu()

    error_of_float32 = (block(features).double() - exact).abs().max()
    assert (found.double() - exact).abs().max() < 2 * error_of_float32
    for begin, number in ((0, 1), (0, 16), (3, 64), (17, 65), (500, 500)):
        some = fused_residual_block(features[begin : begin + number].cuda(), on_cuda, products).cpu()
        assert torch.equal(some.view(torch.int32), found[begin : begin + number].view(torch.int32))
