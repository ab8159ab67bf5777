"""The gate for GPUs on a machine without one: what it counts, and that it finds what it is there to find."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

triton = pytest.importorskip("triton", reason="the gate compiles with triton: pip install 'proofrank[test]'")
if torch.cuda.is_available():
    pytest.skip("the gate is for machines without a GPU", allow_module_level=True)

import triton.language as tl  # noqa: E402
from torch._dynamo.device_interface import (  # noqa: E402
    device_interfaces,
    get_registered_device_interfaces,
)
from torch.utils._triton import has_triton  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from benchmarks.gpu_gate.absent_device import ARCHITECTURES, WARP_SIZE, absent_device  # noqa: E402
from benchmarks.gpu_gate.gate import (  # noqa: E402
    CUDA,
    Examined,
    add_fused_block,
    groups_of,
    make_tick,
    options_of,
    problems_of,
)
from benchmarks.gpu_gate.machine_code import MachineCode, read_machine_code  # noqa: E402
from benchmarks.gpu_gate.programs import Launch, Program, compiled  # noqa: E402
from benchmarks.gpu_gate.tick_time import H200  # noqa: E402
from benchmarks.gpu_gate.traced import Operations, Trace, operations_of, traced  # noqa: E402
from proofrank.core.default import DATASET, POLICY  # noqa: E402
from proofrank.core.evaluator import settings_for  # noqa: E402
from proofrank.core.evaluator.modes import COMPILE_MODES, Mode  # noqa: E402
from proofrank.core.evaluator.options import EvaluatorOptions  # noqa: E402
from proofrank.core.evaluator.tick import Tick  # noqa: E402
from proofrank.core.graph import load_dataset  # noqa: E402
from proofrank.core.policy import load_policy  # noqa: E402
from tests.helpers.web_libraries import ROOT  # noqa: E402

HOPPER = ARCHITECTURES[90]
NUM_LANES = 64


def tick_of(compile_mode: str) -> Tick:
    """The tick of the package's graph and policy on a few lanes."""
    dataset = load_dataset(DATASET)
    policy = load_policy(POLICY, dataset)
    options = EvaluatorOptions(buckets=(NUM_LANES,), pool_size=NUM_LANES)
    return make_tick(compile_mode, dataset, policy, settings_for(policy), options, NUM_LANES)


def code_of(kernel: Any, signature: dict[str, str], constants: dict[str, int], num_warps: int) -> MachineCode:
    """The machine code of one of the kernels below."""
    target = triton.backends.compiler.GPUTarget("cuda", HOPPER.capability, WARP_SIZE)
    source = ASTSource(kernel, {**signature, **dict.fromkeys(constants, "constexpr")}, constants)
    binary = triton.compile(source, target=target, options={"num_warps": num_warps})
    return read_machine_code(binary.asm["cubin"], binary.metadata.shared)


@triton.jit
def share_of_sum(source, target, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    values = tl.load(source + place)
    tl.store(target + place, values / tl.sum(values))


@triton.jit
def nothing_stored(source, target, SIZE: tl.constexpr):
    values = tl.load(source + tl.arange(0, SIZE))
    tl.sum(values)


@triton.jit
def stop(source, target, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    values = tl.load(source + place)
    values = tl.inline_asm_elementwise(
        "trap; mov.b32 $0, $1;", "=r,r", [values], dtype=tl.int32, is_pure=False, pack=1
    )
    tl.store(target + place, values)


POINTERS = {"source": "*fp32", "target": "*fp32"}


def problems_with(code: MachineCode) -> list[str]:
    """What the gate says of a tick with a kernel of that code."""
    program = Program("tick", [Launch("kernel", is_library=False)], {"kernel": code})
    return problems_of(Examined(("default",), HOPPER, programs=[program]), {})


def test_a_kernel_that_fits_into_registers_is_no_problem() -> None:
    code = code_of(share_of_sum, POINTERS, {"SIZE": 1024}, num_warps=4)

    assert problems_with(code) == []
    assert 0 < code.registers < 255
    assert code.global_stores > 0


def test_a_kernel_that_spills_is_refused() -> None:
    # 512 numbers for each of 32 threads.
    code = code_of(share_of_sum, POINTERS, {"SIZE": 16384}, num_warps=1)

    [problem] = problems_with(code)

    assert f"kernel kernel spills {code.stack_bytes} bytes a thread, with 255 registers" in problem


def test_a_kernel_of_which_nothing_is_left_is_refused() -> None:
    [problem] = problems_with(code_of(nothing_stored, POINTERS, {"SIZE": 1024}, num_warps=4))

    assert "kernel kernel stores nothing" in problem


def test_a_kernel_that_is_a_trap_is_refused() -> None:
    code = code_of(stop, {"source": "*i32", "target": "*i32"}, {"SIZE": 1024}, num_warps=4)

    assert any("kernel kernel is a trap" in problem for problem in problems_with(code))


@pytest.mark.parametrize(
    "function", [lambda values: values * int(values.sum()), lambda values: values[values > 0].sum()]
)
def test_a_number_that_the_host_reads_is_found(function: Callable[[Tensor], Tensor]) -> None:
    trace = traced("part", function, torch.arange(5), options={})

    [problem, *_] = problems_of(Examined(("default",), HOPPER, traces=[trace]), {})

    assert "the host waits for aten." in problem


def test_a_broken_graph_is_found() -> None:
    def broken(values: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return values + 1

    trace = traced("part", broken, torch.arange(5), options={})

    assert any("the graph of part breaks" in text for text in problems_of(_of(trace), {}))


def _of(trace: Trace) -> Examined:
    return Examined(("default",), HOPPER, traces=[trace])


def test_more_launches_than_committed_are_refused() -> None:
    examined = Examined(("eager", "captured"), None, operations=Operations({"aten.add": 3}, 0, 0, 0, []))

    assert problems_of(examined, {"eager": 3, "captured": 3}) == []
    assert problems_of(examined, {"eager": 3, "captured": 2}) == [
        "eager, captured (any): 3 launches, more than 2"
    ]


def test_a_tick_that_is_not_compiled_reads_nothing_back_and_multiplies_what_its_states_need() -> None:
    tick = tick_of("captured")

    counted = operations_of(tick)

    assert counted.host_reads == []
    num_states = tick.environment.capacities.num_states
    assert counted.flops == num_states * tick.network.flops_per_state()
    assert counted.launches["aten.addmm.default"] == 5 * num_states // 512


def test_the_compiled_network_is_one_graph_of_sound_kernels() -> None:
    list(get_registered_device_interfaces())  # which registers them, the first time
    before = dict(device_interfaces)
    tick = tick_of("separate")
    num_states = tick.environment.capacities.num_states
    tick.network.compute_whole(num_states)
    states = torch.zeros(num_states, tick.environment.engine.working_atoms, dtype=torch.int64)

    options = options_of(Mode.of("separate", fullgraph=True, device=CUDA))
    trace = traced("score", tick.score, states, options=options)
    program = compiled(trace, HOPPER, options, with_variants=False)

    assert problems_of(Examined(("separate",), HOPPER, [trace], [program]), {}) == []
    assert sum(launch.flops for launch in program.launches) == num_states * tick.network.flops_per_state()
    assert sum(launch.is_library for launch in program.launches) == 5, "more than the five products"
    assert len(program.launches) == 10
    kernels = {launch.name for launch in program.launches if not launch.is_library}
    assert kernels == set(program.kernels)
    vectors = num_states * tick.buffers.endf_feature.shape[0] * 4
    assert program.launches[-1].bytes_written == vectors
    assert not torch.cuda.is_available() and not has_triton(), "the absent device has stayed"
    assert dict(device_interfaces) == before


def test_a_network_of_fused_blocks_has_one_launch_for_each_and_products_on_tensor_cores() -> None:
    tick = tick_of("fused-blocks")
    num_states = tick.environment.capacities.num_states
    tick.network.compute_whole(num_states)
    states = torch.zeros(num_states, tick.environment.engine.working_atoms, dtype=torch.int64)
    mode = Mode.of("fused-blocks", fullgraph=True, device=CUDA)

    trace = traced("score", tick.score, states, options=options_of(mode))
    program = compiled(trace, HOPPER, options_of(mode), with_machine_code=False)
    assert mode.products is not None
    add_fused_block(program, 64, mode.products, HOPPER)

    assert problems_of(Examined(("fused-blocks",), HOPPER, [trace], [program]), {}) == []
    assert sum(launch.flops for launch in program.launches) == num_states * tick.network.flops_per_state()
    blocks = [launch for launch in program.launches if launch.name.endswith("residual_block.default")]
    assert len(blocks) == 2 and not any(launch.is_library for launch in blocks)
    assert len(program.launches) == 8, "two launches fewer than without"
    [code] = program.kernels.values()
    assert code.tensor_core_instructions > 0 and code.registers <= 255


def test_a_fused_block_without_tensor_cores_is_refused() -> None:
    code = code_of(share_of_sum, POINTERS, {"SIZE": 1024}, num_warps=4)
    program = Program("tick", [], {"residual_block_tf32x3_64": code})

    [problem] = problems_of(Examined(("fused-blocks",), HOPPER, programs=[program]), {})

    assert "kernel residual_block_tf32x3_64 has no product on tensor cores" in problem


def test_modes_that_run_the_same_are_examined_once() -> None:
    groups = groups_of(COMPILE_MODES)

    assert ("eager", "captured") in groups
    assert ("default", "reduce-overhead", "graph-trees") in groups
    assert sorted(name for group in groups for name in group) == sorted(COMPILE_MODES)


def test_the_absent_device_gives_its_place_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), absent_device(HOPPER):
        assert torch.cuda.get_device_capability() == (9, 0)
        raise ZeroDivisionError

    assert not torch.cuda.is_available()


def test_the_time_of_a_tick_is_that_of_its_launches_and_of_the_larger_of_bytes_and_products() -> None:
    nothing = Launch("a", is_library=False)
    copy = Launch("b", is_library=False, bytes_read=4_800_000, bytes_written=4_800_000)
    product = Launch("c", is_library=True, bytes_read=4_800_000, bytes_written=0, flops=134_000_000)

    assert H200.seconds([nothing], "float32") == pytest.approx(1.3e-6)
    assert H200.seconds([copy], "float32") == pytest.approx(3.3e-6)
    assert H200.seconds([product], "float32") == pytest.approx(3.3e-6)
    assert H200.seconds([nothing, copy, product], "tf32") == pytest.approx(1.3e-6 + 3.3e-6 + 2.3e-6)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_ticks_of_all_modes_pass_for_all_architectures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_gate", "--json", str(tmp_path / "gate.json")]

    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stdout + process.stderr
    record = json.loads((tmp_path / "gate.json").read_text())
    assert {tick["target"] for tick in record["ticks"]} == {"any", "sm_80", "sm_90", "sm_100"}
    assert {tick["host reads"] for tick in record["ticks"]} == {0}
