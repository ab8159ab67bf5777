"""An exported network as data: operations on earlier results, with the shape and dtype that each result has.

Numbers that grow with the number of rows are multiples of it (:class:`Rows`), so that one program serves for any number
of rows. :func:`graph_of` makes a module of it for one number. The module's code has names of its own and calls nothing
but allowed operations: no text of a file is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from proofrank.core.policy.exported.operations import WITHOUT_EFFECT, function_of

INPUT = "input"
PARAMETER = "parameter"
CONSTANT = "constant"
GET_ITEM = "getitem"

Maps = Literal["states", "pairs"]
"""What a network maps: states to vectors, or pairs of a state and an action to logits."""

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "bool": torch.bool,
}


@dataclass(frozen=True)
class Rows:
    """A number that is ``multiple`` times the number of rows."""

    multiple: int


@dataclass(frozen=True)
class Ref:
    """The result of an earlier node."""

    name: str


@dataclass(frozen=True)
class DType:
    """The name of a dtype, of ``DTYPES``."""

    name: str


Size = int | Rows


@dataclass(frozen=True)
class Result:
    """Shape and dtype of a result."""

    shape: tuple[Size, ...]
    dtype: str

    def shape_of(self, num_rows: int) -> list[int]:
        """Returns the shape for a number of rows."""
        return [_number(size, num_rows) for size in self.shape]


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: by which later nodes refer to it.
        op: ``input``, ``parameter``, ``constant`` or an allowed operation.
        args: numbers, texts, None, ``Ref``, ``Rows``, ``DType``, and tuples of these.
        kwargs: likewise.
        results: one, or several for an operation that gives a tuple.
        tensor: name among the weights, of a parameter or a constant; the place of an input among the inputs.
    """

    name: str
    op: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    results: tuple[Result, ...] = ()
    tensor: str = ""

    @property
    def is_operation(self) -> bool:
        """Whether it computes something."""
        return self.op not in (INPUT, PARAMETER, CONSTANT)

    def references(self) -> Iterator[str]:
        """Yields the names of the nodes that it reads."""
        yield from _references(self.args)
        yield from _references(tuple(value for _, value in self.kwargs))


@dataclass(frozen=True)
class Program:
    """A network.

    Attributes:
        maps: what it maps.
        num_atoms: A, the places of a state.
        nodes: in order; each reads earlier ones.
        output: name of the node that gives ``[N, E]`` float32 for states, ``[N]`` float32 for pairs.
    """

    maps: Maps
    num_atoms: int
    nodes: tuple[Node, ...]
    output: str

    @property
    def num_inputs(self) -> int:
        """1 for states, 2 for pairs; each is ``[N, A, 3]`` int64."""
        return 1 if self.maps == "states" else 2

    @property
    def weights(self) -> tuple[Node, ...]:
        """The parameters and constants, in order."""
        return tuple(node for node in self.nodes if node.op in (PARAMETER, CONSTANT))


def concrete(value: Any, num_rows: int, read: Callable[[str], Any], float_dtype: torch.dtype) -> Any:
    """Returns an argument of a node as an operation takes it.

    Args:
        value: of ``Node.args`` or ``Node.kwargs``.
        num_rows: number of rows.
        read: gives the result of a node by its name.
        float_dtype: stands for float32.
    """
    if isinstance(value, Ref):
        return read(value.name)
    if isinstance(value, Rows):
        return value.multiple * num_rows
    if isinstance(value, DType):
        return float_dtype if value.name == "float32" else DTYPES[value.name]
    if isinstance(value, tuple):
        return [concrete(part, num_rows, read, float_dtype) for part in value]
    return value


def graph_of(program: Program, num_rows: int, float_dtype: torch.dtype = torch.float32) -> fx.GraphModule:
    """Makes the module of a checked program for one number of rows.

    It is called with the inputs, each ``[num_rows, A, 3]`` int64, and then the weights in order. What depends on
    neither is computed here, once, into buffers.

    Args:
        program: program that :func:`proofrank.core.policy.exported.checking.check` has passed.
        num_rows: N.
        float_dtype: dtype of the weights, in place of float32.
    """
    graph = fx.Graph()
    buffers: dict[str, Tensor] = {}
    made: dict[str, fx.Node] = {}
    constant: dict[str, Any] = {}
    needed = _needed(program)
    inputs = [graph.placeholder(f"input_{place}") for place in range(program.num_inputs)]
    weights = iter([graph.placeholder(f"weight_{place}") for place in range(len(program.weights))])

    def read(name: str) -> fx.Node:
        if name not in made:
            buffer = f"computed_{len(buffers)}"
            buffers[buffer] = constant[name]
            made[name] = graph.get_attr(buffer)
        return made[name]

    for node in program.nodes:
        if node.op == INPUT:
            made[node.name] = inputs[int(node.tensor)]
        elif not node.is_operation:
            made[node.name] = next(weights)
        elif node.name not in needed:
            continue
        elif node.op in WITHOUT_EFFECT and next(node.references()) in made:
            made[node.name] = made[next(node.references())]
        else:
            is_constant = all(name in constant for name in node.references())
            get = constant.__getitem__ if is_constant else read
            args = tuple(concrete(value, num_rows, get, float_dtype) for value in node.args)
            kwargs = {name: concrete(value, num_rows, get, float_dtype) for name, value in node.kwargs}
            if is_constant:
                constant[node.name] = function_of(node.op)(*args, **kwargs)
            else:
                made[node.name] = graph.call_function(function_of(node.op), args, kwargs)
    graph.output(read(program.output))
    root = torch.nn.Module()
    for name, tensor in buffers.items():
        root.register_buffer(name, tensor, persistent=False)
    return fx.GraphModule(root, graph)


def _needed(program: Program) -> set[str]:
    """Returns the names of the nodes that the output depends on."""
    needed = {program.output}
    for node in reversed(program.nodes):
        if node.name in needed:
            needed.update(node.references())
    return needed


def _number(size: Size, num_rows: int) -> int:
    return size.multiple * num_rows if isinstance(size, Rows) else size


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _references(part)
