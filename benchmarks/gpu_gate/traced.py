"""Graphs of ticks: what the compiler is given on CUDA, traced on a CPU, and counts of ticks that are not compiled.

A tick is traced by ``torch.compile`` as in production, with a backend that keeps the functional graph that the code
generator would get. The graph is the same on every device but for the names of devices in it, which
:mod:`benchmarks.gpu_gate.programs` changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch import _dynamo as dynamo
from torch._dynamo.utils import counters
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._inductor import config
from torch._inductor.compile_fx import compile_fx
from torch._ops import OpOverload
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from proofrank.core.evaluator.tick import SeparateTick, Tick, WholeTick
from proofrank.core.evaluator.tick_program import TickProgram, tensors_of

_READS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Tags of operators whose result the host has to see: a number that is read back, or a shape that hangs on one."""


@dataclass
class Trace:
    """What the compiler is given.

    Attributes:
        name: the part of the tick; ``tick`` for a whole one.
        graphs: graphs with their inputs; one, where nothing broke.
        graph_breaks: why the graph was broken, each with its number.
    """

    name: str
    graphs: list[tuple[GraphModule, Sequence[Any]]]
    graph_breaks: dict[str, int]

    @property
    def host_reads(self) -> list[str]:
        """Operators that make the host wait for the device."""
        return [
            str(node.target)
            for graph, _ in self.graphs
            for node in graph.graph.nodes
            if node.op == "call_function"
            and reads_back(node.target, torch.fx.map_arg(node.args, lambda given: given.meta.get("val")))
        ]


def reads_back(operator: Any, arguments: Any) -> bool:
    """Whether the host must wait for the result of ``operator`` on ``arguments``, tensors or what stands for them."""
    if not isinstance(operator, OpOverload):
        return False
    if operator.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
        # A mask is made into indices, whose number the host asks for; indices are used as they are.
        return any(
            index.dtype in (torch.bool, torch.uint8)
            for index in tree_leaves(arguments[1])
            if index is not None
        )
    return any(tag in operator.tags for tag in _READS)


def traced(name: str, function: Callable[..., Any], *arguments: Any, options: dict[str, Any]) -> Trace:
    """Traces ``function`` on ``arguments``, which lie on the CPU; it is run once, uncompiled, on them.

    Args:
        name: of the part.
        function: a tick, or a part of one.
        arguments: tensors, or tuples of tensors.
        options: of the compiler.
    """
    trace = Trace(name, [], {})

    def keep(graph: GraphModule, inputs: Sequence[Any], **_: Any) -> Any:
        trace.graphs.append((graph, inputs))
        return make_boxed_func(graph.forward)

    def backend(graph: GraphModule, inputs: Sequence[Any]) -> Any:
        with config.patch(options):
            return compile_fx(graph, inputs, inner_compile=keep)

    dynamo.reset()
    counters.clear()
    # A number that is read back becomes a part of the graph, where it is counted, instead of its end.
    reading = dynamo.config.patch(capture_scalar_outputs=True, capture_dynamic_output_shape_ops=True)
    with reading, torch.inference_mode():
        torch.compile(function, backend=backend, fullgraph=False, dynamic=False)(*arguments)
    trace.graph_breaks.update(counters["graph_break"])
    dynamo.reset()
    return trace


def traces_of(tick: Tick, options: dict[str, Any]) -> list[Trace]:
    """Traces ``tick``, which must be of fixed shape: whole, or in the parts in which its mode compiles it."""
    assert isinstance(tick, WholeTick)
    tick.network.compute_whole(tick.environment.capacities.num_states)
    trace = partial(traced, options=options)
    if not isinstance(tick, SeparateTick):
        return [trace("tick", tick.move, tick.buffers)]
    with torch.inference_mode():
        begun = tick.begin(tick.buffers)
        vectors = tick.score(begun.observation.states)
        num_padded = torch.full_like(tick.buffers.first_lane, vectors.shape[0])
    return [
        trace("begin", tick.begin, tick.buffers),
        trace("score", tick.score, begun.observation.states),
        trace("finish", tick.finish, tick.buffers, begun.lanes, begun.observation, vectors, num_padded),
    ]


@dataclass
class Operations:
    """Counts of a tick that is not compiled, in which every operation launches at least one kernel.

    Attributes:
        launches: operations that are no views, by name.
        bytes_read: bytes of their operands.
        bytes_written: bytes of their results.
        flops: of the matrix products.
        host_reads: operations that make the host wait.
    """

    launches: dict[str, int]
    bytes_read: int
    bytes_written: int
    flops: int
    host_reads: list[str]


def operations_of(tick: Tick) -> Operations:
    """Counts ``tick``, which must be of fixed shape, on tensors that have shapes and no memory."""
    shapes = [torch.empty_like(tensor, device="meta") for tensor in tensors_of(tick)]
    tick.network.compute_in_chunks()
    flops = FlopCounterMode(display=False)
    with torch.no_grad(), flops, _OperationCounter() as counter:
        try:
            TickProgram(tick)(shapes)
        except (NotImplementedError, RuntimeError) as error:
            # A tensor without memory was asked for a value.
            counter.host_reads.append(str(error).splitlines()[0])
    return Operations(
        dict(sorted(counter.launches.items(), key=lambda item: -item[1])),
        counter.bytes_read,
        counter.bytes_written,
        flops.get_total_flops(),
        counter.host_reads,
    )


class _OperationCounter(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: dict[str, int] = {}
        self.bytes_read = 0
        self.bytes_written = 0
        self.host_reads: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if reads_back(function, args):
            self.host_reads.append(str(function))
        if _launches(function):
            name = str(function)
            self.launches[name] = self.launches.get(name, 0) + 1
            self.bytes_read += _num_bytes((args, kwargs))
            self.bytes_written += _num_bytes(result)
        return result


def _launches(operator: OpOverload) -> bool:
    """Whether ``operator`` computes: it is neither a view nor an allocation."""
    name = operator._schema.name.split("::")[1]
    if name.startswith(("empty", "new_empty", "detach", "alias", "lift")):
        return False
    aliases = [result.alias_info for result in operator._schema.returns]
    return not any(alias is not None and not alias.is_write for alias in aliases)


def _num_bytes(values: Any) -> int:
    tensors = [value for value in tree_leaves(values) if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
