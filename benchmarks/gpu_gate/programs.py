"""Compiles traced parts of a tick for an architecture: the launches in their order, and the kernels.

The code generator works as in production, on fake tensors of a CUDA device; each kernel is then compiled by triton to
machine code. A launch is one call of a kernel or of a library in the generated program. A library may launch more than
one kernel of its own, which cannot be seen here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._inductor import config
from torch._inductor.compile_fx import compile_fx_inner
from torch._inductor.graph import GraphLowering
from torch._inductor.scheduler import ExternKernelSchedulerNode, NopKernelSchedulerNode, Scheduler
from torch._inductor.utils import BoxedBool
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils.flop_counter import register_flop_formula

from benchmarks.gpu_gate.absent_device import Architecture, absent_device
from benchmarks.gpu_gate.machine_code import MachineCode, read_machine_code
from benchmarks.gpu_gate.traced import Trace
from proofrank.core.evaluator.kernel_choices import kernel_choices

DEVICE = torch.device("cuda", 0)

_CALL = re.compile(
    r"^\s+(?:\w+ = )?(?:(?P<kernel>triton_\w+)\.run\("
    r"|(?P<library>extern_kernels\.\w+|(?:torch\.ops\.)?(?:aten|proofrank)\.[\w.]+)\()"
)
_MEMORY = re.compile(r"\.(zero_|fill_|copy_)\(")
_MEMSET = "memset"
_OWN = "torch.ops.proofrank."


@register_flop_formula(torch.ops.proofrank.residual_block)
def _flops_of_residual_block(features: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Multiplications and additions of the block's product; arguments are shapes."""
    return 2 * features[0] * weight[0] * weight[1]


@dataclass
class Launch:
    """One launch of a tick.

    Attributes:
        name: of the kernel or of the library's function.
        is_library: whether a library is called, whose machine code is not seen.
        bytes_read: at most, for what is looked up in a table counts as the smaller of all look-ups and the table;
            None if it is unknown.
        bytes_written: likewise.
        flops: multiplications and additions of a matrix product; 0 for anything else.
    """

    name: str
    is_library: bool
    bytes_read: int | None = None
    bytes_written: int | None = None
    flops: int = 0


@dataclass
class Program:
    """A compiled part of a tick.

    Attributes:
        name: of the part.
        launches: in their order.
        kernels: machine code by the kernel's name, the worst of its variants by registers and spills.
        source: the generated program.
    """

    name: str
    launches: list[Launch]
    kernels: dict[str, MachineCode] = field(default_factory=dict)
    source: str = ""


def compiled(
    trace: Trace,
    architecture: Architecture,
    options: dict[str, Any],
    *,
    with_machine_code: bool = True,
    with_variants: bool = True,
) -> Program:
    """Compiles ``trace``, which must be one graph without host reads.

    Args:
        trace: of a part.
        architecture: the target.
        options: of the compiler.
        with_machine_code: whether kernels are compiled; else only the launches are found.
        with_variants: whether each kernel is compiled in all configurations from which the first run on a card would
            choose the fastest, or in the first alone.
    """
    [(graph, inputs)] = trace.graphs
    sources: list[str] = []
    schedules: list[list[Launch]] = []
    generate = Scheduler.codegen

    def observed(scheduler: Scheduler) -> None:
        schedules.append(_launches_of(scheduler))
        generate(scheduler)

    with absent_device(architecture) as kernels, torch.inference_mode():
        mode, fakes = _moved(graph, inputs)
        with (
            warnings.catch_warnings(),
            tracing(TracingContext(mode)),
            mock.patch.object(GraphLowering, "save_output_code", staticmethod(sources.append)),
            mock.patch.object(Scheduler, "codegen", observed),
            config.patch(options),
            kernel_choices(DEVICE),
        ):
            # That TF32 would be faster is known: float32 is a choice.
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
            compile_fx_inner(
                graph,
                fakes,
                is_inference=True,
                static_input_idxs=range(len(fakes)),
                # The compiler's own capture would need a device; it changes no kernel.
                cudagraphs=BoxedBool(False),
            )
        program = Program(trace.name, _called(sources[0], schedules[0]), source=sources[0])
        if with_machine_code:
            for kernel in kernels:
                codes = [
                    _machine_code(kernel._precompile_config(configuration).kernel)
                    for configuration in (kernel.configs if with_variants else kernel.configs[:1])
                ]
                worst = max(
                    codes, key=lambda code: (code.is_trap, code.is_hollow, code.stack_bytes, code.registers)
                )
                program.kernels[kernel.inductor_meta["kernel_name"]] = worst
    return program


def _machine_code(binary: Any) -> MachineCode:
    """The machine code of what triton has compiled."""
    return read_machine_code(binary.asm["cubin"], binary.metadata.shared)


def _moved(graph: GraphModule, inputs: Sequence[Any]) -> tuple[FakeTensorMode, list[Tensor]]:
    """Changes ``graph``, made on the CPU, to one on ``DEVICE``; returns fake inputs and their mode."""
    for node in graph.graph.nodes:
        node.args = tuple(DEVICE if isinstance(value, torch.device) else value for value in node.args)
        node.kwargs = {
            name: DEVICE if isinstance(value, torch.device) else value for name, value in node.kwargs.items()
        }
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fakes = [
            torch.empty_strided(given.shape, given.stride(), dtype=given.dtype, device=DEVICE)
            for given in inputs
        ]
    FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*fakes)
    return mode, fakes


def _launches_of(scheduler: Scheduler) -> list[Launch]:
    """The launches that the code generator has planned, in order, with what each moves."""
    return [
        Launch(
            node.get_name(),
            isinstance(node, ExternKernelSchedulerNode),
            node.get_read_buffer_sizes(),
            node.get_write_buffer_sizes(),
            int(node.estimate_flops() or 0) if isinstance(node, ExternKernelSchedulerNode) else 0,
        )
        for node in scheduler.nodes
        if not isinstance(node, NopKernelSchedulerNode)
        and type(getattr(node, "node", None)).__name__ != "MultiOutput"
    ]


def _called(source: str, planned: list[Launch]) -> list[Launch]:
    """The launches of the generated program; with the bytes of the plan, where both have the same launches."""
    calls: list[Launch] = []
    # Behind the last kernel's own source.
    for line in source.rpartition("device_str='cuda')")[2].splitlines():
        match = _CALL.match(line)
        if match is not None:
            calls.append(Launch(match["kernel"] or match["library"], match["kernel"] is None))
        elif _MEMORY.search(line) and not line.lstrip().startswith("#"):
            calls.append(Launch(_MEMSET, True))
    # A memset clears the scratch memory of a kernel; it is not planned.
    known = [launch for launch in calls if launch.name != _MEMSET]
    if [launch.is_library for launch in known] == [launch.is_library for launch in planned]:
        for launch, plan in zip(known, planned, strict=True):
            launch.bytes_read, launch.bytes_written = plan.bytes_read, plan.bytes_written
            launch.flops = plan.flops
    for launch in calls:
        # A kernel of the project's own, whose machine code is seen.
        launch.is_library = launch.is_library and not launch.name.startswith(_OWN)
    return calls
