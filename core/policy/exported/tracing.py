"""Traces a module into a program.

The module is traced for two numbers of rows. What differs between the two must be a multiple of the number of rows;
anything else, such as a mean over the rows, is refused.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from proofrank.core.errors import PolicyError
from proofrank.core.policy.exported.checking import TILE_ROWS, ProgramError, first_line, result_of
from proofrank.core.policy.exported.operations import ABOUT_MEMORY, ALLOWED
from proofrank.core.policy.exported.program import (
    CONSTANT,
    DTYPES,
    GET_ITEM,
    INPUT,
    PARAMETER,
    DType,
    Maps,
    Node,
    Program,
    Ref,
    Result,
    Rows,
    Size,
)

_NAME_OF = {dtype: name for name, dtype in DTYPES.items()}


def trace(module: nn.Module, maps: Maps, num_atoms: int) -> tuple[Program, dict[str, Tensor]]:
    """Returns the program of a module in evaluation mode, and its weights by name.

    Args:
        module: maps ``[N, A, 3]`` int64 to ``[N, E]`` float32; or two of them to ``[N]`` float32.
        maps: which.
        num_atoms: A.

    Raises:
        PolicyError: it cannot be traced, or has an operation that is not allowed; the error says which.
    """
    traced = [_exported(module, maps, num_atoms, num_rows) for num_rows in (TILE_ROWS, 2 * TILE_ROWS)]
    nodes = [_Reader(program).nodes() for program in traced]
    if [(node.name, node.op) for node in nodes[0]] != [(node.name, node.op) for node in nodes[1]]:
        raise PolicyError(
            f"the module takes other operations for {2 * TILE_ROWS} rows than for {TILE_ROWS}; expected the same for "
            "any number"
        )
    merged = [_merged(ours, theirs) for ours, theirs in zip(*nodes, strict=True)]
    output = tuple(traced[0].graph_signature.user_outputs)
    if len(output) != 1 or not isinstance(output[0], str):
        raise PolicyError(f"the module gives {len(output)} results; expected one tensor")
    program = Program(maps, num_atoms, tuple(_used(merged, output[0])), output[0])
    weights = {node.tensor: _weight(traced[0], node.tensor) for node in program.weights}
    return _with_results(program, weights), weights


def _exported(module: nn.Module, maps: Maps, num_atoms: int, num_rows: int) -> ExportedProgram:
    # Atoms of ones: any index that a table has.
    example = torch.ones(num_rows, num_atoms, 3, dtype=torch.int64)
    inputs = (example,) if maps == "states" else (example, example.clone())
    with _without_fast_paths(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.export.export(module, inputs, strict=False).run_decompositions()
        # Whatever the module's code raises.
        except Exception as error:
            raise PolicyError(f"the module cannot be traced by torch.export: {first_line(error)}") from error


@contextmanager
def _without_fast_paths() -> Iterator[None]:
    """Has torch's transformer layers run as their parts, and not as one operation that no other machine need have."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Reader:
    """Reads the nodes of a traced module, whose numbers are still those of one number of rows."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._specs = {
            spec.arg.name: spec for spec in program.graph_signature.input_specs if hasattr(spec.arg, "name")
        }
        self._num_inputs = 0

    def nodes(self) -> list[Node]:
        """Returns the nodes without results."""
        return [
            self._node(node)
            for node in self._program.graph.nodes
            if node.op != "output" and not self._is_assertion(node)
        ]

    @staticmethod
    def _is_assertion(node: fx.Node) -> bool:
        """Returns whether a node checks something about the traced tensors that is known when a program is checked."""
        return str(node.target).startswith(("aten._assert", "aten.sym_constrain")) and not node.users

    def _node(self, node: fx.Node) -> Node:
        if node.op == "placeholder":
            return self._placeholder(node.name)
        op = GET_ITEM if node.target is operator.getitem else str(node.target)
        if node.op != "call_function" or op not in ALLOWED:
            raise ProgramError(node.name, f"operation {op} is not allowed in a policy{_place(node)}")
        return Node(
            node.name,
            op,
            args=tuple(self._argument(node, value) for value in node.args),
            kwargs=tuple(
                (name, self._argument(node, value))
                for name, value in node.kwargs.items()
                if name not in ABOUT_MEMORY
            ),
        )

    def _placeholder(self, name: str) -> Node:
        spec = self._specs.get(name)
        if spec is not None and spec.kind is InputKind.USER_INPUT:
            self._num_inputs += 1
            return Node(name, INPUT, tensor=str(self._num_inputs - 1))
        if spec is None or spec.target is None:
            raise ProgramError(name, "is neither an input nor a tensor of the module")
        op = PARAMETER if spec.kind is InputKind.PARAMETER else CONSTANT
        return Node(name, op, tensor=spec.target)

    def _argument(self, node: fx.Node, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return Ref(value.name)
        if isinstance(value, torch.dtype):
            if value not in _NAME_OF:
                raise ProgramError(
                    node.name, f"has dtype {value!s}; expected one of {', '.join(DTYPES)}{_place(node)}"
                )
            return DType(_NAME_OF[value])
        if isinstance(value, (list, tuple)):
            return tuple(self._argument(node, part) for part in value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ProgramError(node.name, f"has an argument {value!r:.100}, which cannot be stored{_place(node)}")


def _place(node: fx.Node) -> str:
    """Returns the line of the module that a node comes from."""
    trace = (node.meta.get("stack_trace") or "").strip().splitlines()
    return f" ({' '.join(part.strip() for part in trace[-2:])})" if trace else ""


def _weight(program: ExportedProgram, name: str) -> Tensor:
    tensor = program.state_dict.get(name)
    if tensor is None:
        tensor = program.constants[name]
    assert isinstance(tensor, Tensor)
    # Of its own: tied tensors share memory, which no file can hold.
    return tensor.detach().clone().contiguous()


def _merged(ours: Node, theirs: Node) -> Node:
    """Returns the node of any number of rows, from those of two numbers."""
    kwargs = tuple(
        (name, _merged_value(ours.name, value, other))
        for (name, value), (_, other) in zip(ours.kwargs, theirs.kwargs, strict=True)
    )
    return Node(
        ours.name, ours.op, _merged_value(ours.name, ours.args, theirs.args), kwargs, tensor=ours.tensor
    )


def _merged_value(name: str, ours: Any, theirs: Any) -> Any:
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and len(ours) == len(theirs):
        return tuple(_merged_value(name, *pair) for pair in zip(ours, theirs, strict=True))
    if type(ours) is type(theirs) and (ours == theirs or (ours != ours and theirs != theirs)):
        return ours
    if type(ours) is int and type(theirs) is int and theirs == 2 * ours and ours % TILE_ROWS == 0:
        return Rows(ours // TILE_ROWS)
    raise ProgramError(
        name,
        f"has {ours!r:.100} for {TILE_ROWS} rows and {theirs!r:.100} for {2 * TILE_ROWS}: it depends on the number of "
        "rows, and with it a row on its company",
    )


def _used(nodes: list[Node], output: str) -> list[Node]:
    """Returns the nodes that the output depends on, and the inputs."""
    needed = {output}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.references())
    return [node for node in nodes if node.name in needed or node.op == INPUT]


def _with_results(program: Program, weights: Mapping[str, Tensor]) -> Program:
    """Returns the program with the results that each node has."""
    shapes = [_shapes(program, weights, num_rows) for num_rows in (TILE_ROWS, 2 * TILE_ROWS)]
    nodes = []
    for node in program.nodes:
        ours, theirs = (results[node.name] for results in shapes)
        nodes.append(
            Node(
                node.name,
                node.op,
                node.args,
                node.kwargs,
                tuple(_result(node.name, *pair) for pair in zip(ours, theirs, strict=True)),
                node.tensor,
            )
        )
    return Program(program.maps, program.num_atoms, tuple(nodes), program.output)


def _shapes(program: Program, weights: Mapping[str, Tensor], num_rows: int) -> dict[str, list[Tensor]]:
    """Returns the results of each node, on tensors without memory."""
    found: dict[str, Any] = {}
    for node in program.nodes:
        if node.op == INPUT:
            found[node.name] = torch.empty(num_rows, program.num_atoms, 3, dtype=torch.int64, device="meta")
        elif node.is_operation:
            found[node.name] = result_of(node, num_rows, found)
        else:
            found[node.name] = torch.empty_like(weights[node.tensor], device="meta")
    return {name: [value] if isinstance(value, Tensor) else list(value) for name, value in found.items()}


def _result(name: str, ours: Tensor, theirs: Tensor) -> Result:
    if ours.dtype not in _NAME_OF:
        raise ProgramError(name, f"is {ours.dtype!s}; expected one of {', '.join(DTYPES)}")
    sizes: list[Size] = [_merged_value(name, *pair) for pair in zip(ours.shape, theirs.shape, strict=True)]
    return Result(tuple(sizes), _NAME_OF[ours.dtype])
