"""Whether an exported network tells constants apart: read off its operations, before anything is computed.

Each result is followed from the inputs on. It is free of names if it stays the same when the constants of a state are
replaced by others, whichever they are, equal ones by equal ones. A network whose output is free of names knows
relations, variables, and which arguments are equal; so it maps the states of any other graph with the same relations.

Free of names are: the predicates; whether an argument is there, is equal to another one, or is a variable; the vectors
of arguments, where the table has one vector for all constants; and whatever is computed of these alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from proofrank.core.errors import PolicyError, counted, shown
from proofrank.core.policy.exported.checking import check
from proofrank.core.policy.exported.checkpoint import make_config
from proofrank.core.policy.exported.network import ExportedNetwork
from proofrank.core.policy.exported.operations import WITHOUT_EFFECT
from proofrank.core.policy.exported.program import (
    CONSTANT,
    GET_ITEM,
    INPUT,
    PARAMETER,
    Node,
    Program,
    Ref,
    Result,
)


class Kind(Enum):
    """What a result holds."""

    FREE = "free of names"
    ATOMS = "atoms: (predicate, first, second) in the last axis"
    ARGUMENTS = "indices of arguments"


@dataclass(frozen=True)
class Dependent:
    """A result that depends on which constants a state has, as far as can be told.

    Attributes:
        reason: which node made it so, and how.
    """

    reason: str


Held = Kind | Dependent
"""What a result holds, or why it depends on names."""

_LOOKUPS = ("aten.embedding.default", "aten.index.Tensor")
_RESHAPING = frozenset(
    [
        *WITHOUT_EFFECT,
        *(f"aten.{name}.default" for name in ("expand", "flip", "permute", "repeat", "unsqueeze", "view")),
        *("aten.select.int", "aten.slice.Tensor", "aten.squeeze.dim", "aten.squeeze.dims"),
    ]
)
"""Operations on one tensor whose result has its elements, in another order or shape."""

_KEEPS_LAST_AXIS = frozenset(
    [*WITHOUT_EFFECT, "aten.expand.default", "aten.view.default", "aten.unsqueeze.default"]
)
"""Those of them that keep the last axis whole if the result has the same size there."""

_FIRST_VARIABLE = {
    "aten.gt.Scalar": 0,
    "aten.le.Scalar": 0,
    "aten.ge.Scalar": 1,
    "aten.lt.Scalar": 1,
}
"""Comparisons that tell variables from constants, by what the number compared with is above the number of constants."""


@dataclass
class _Found:
    """What is known of a program.

    Attributes:
        held: what each result holds, a list for an operation with several.
        tables: names of the weights in which arguments are looked up.
        comparisons: names of the nodes that compare with the number of constants.
    """

    held: dict[str, Held | list[Held]]
    tables: set[str]
    comparisons: set[str]


def with_other_constants(network: ExportedNetwork, num_constants: int, num_others: int) -> ExportedNetwork:
    """Returns the network for a graph of ``num_others`` constants in place of ``num_constants``.

    Raises:
        PolicyError: the network tells constants apart, as far as its operations show; names the operation.
    """
    program, weights = network.program, network.named_weights()
    found = _follow(program, num_constants)
    output = found.held[program.output]
    if output is not Kind.FREE:
        raise PolicyError(
            output.reason
            if isinstance(output, Dependent)
            else f"its output {shown(program.output)} has the numbers of arguments in it"
        )
    tables = {node.tensor: node for node in program.weights if node.name in found.tables}
    for node in tables.values():
        _check_table(node, weights[node.tensor], network.num_arguments, num_constants)
    shift = num_others - num_constants
    carried = dataclasses.replace(
        program, nodes=tuple(_shifted(node, found, num_constants, num_others) for node in program.nodes)
    )
    check(carried)
    config = network.config
    return ExportedNetwork(
        make_config(carried, config.logit_scale, config.max_variables),
        carried,
        {
            name: _resized(tensor, num_constants, num_others) if name in tables else tensor.clone()
            for name, tensor in weights.items()
        },
        network.num_arguments + shift,
    ).eval()


def _check_table(node: Node, table: Tensor, num_arguments: int, num_constants: int) -> None:
    if table.shape[0] < num_arguments:
        raise PolicyError(
            f"its table {shown(node.tensor)} has {table.shape[0]} rows for {num_arguments} arguments"
        )
    num_different = len(torch.unique(table[1 : 1 + num_constants], dim=0))
    if num_different != 1:
        raise PolicyError(
            f"its table {shown(node.tensor)} has {num_different} different vectors for "
            f"{counted(num_constants, 'constant')}, and none for those of another graph; expected one vector for all"
        )


def _resized(table: Tensor, num_constants: int, num_others: int) -> Tensor:
    """The table with the one vector of constants for each of the others; that of padding and of variables stay."""
    vectors = table[1:2].expand(num_others, *table.shape[1:])
    return torch.cat([table[:1], vectors, table[1 + num_constants :]])


def _shifted(node: Node, found: _Found, num_constants: int, num_others: int) -> Node:
    """The node for another number of constants."""
    if node.name in found.tables:
        (result,) = node.results
        size = result.shape[0]
        assert isinstance(size, int)
        shape = (size + num_others - num_constants, *result.shape[1:])
        return dataclasses.replace(node, results=(Result(shape, result.dtype),))
    if node.name in found.comparisons:
        tensor, number = node.args
        return dataclasses.replace(node, args=(tensor, number + num_others - num_constants))
    return node


def _follow(program: Program, num_constants: int) -> _Found:
    """What each result of the program holds."""
    nodes = {node.name: node for node in program.nodes}
    found = _Found({}, set(), set())
    uses: dict[str, list[str]] = {}
    for node in program.nodes:
        if node.op == INPUT:
            found.held[node.name] = Kind.ATOMS
        elif node.op in (PARAMETER, CONSTANT):
            found.held[node.name] = Kind.FREE
        else:
            for name in node.references():
                uses.setdefault(name, []).append(node.name)
            found.held[node.name] = _held_by(node, nodes, found, num_constants)
    for table in found.tables:
        others = [user for user in uses[table] if not _is_lookup(nodes[user], table, found.held)]
        if others:
            reason = f"{_told(nodes[others[0]])} uses a table of arguments otherwise than by looking them up"
            found.held[program.output] = Dependent(reason)
    return found


def _held_by(node: Node, nodes: Mapping[str, Node], found: _Found, num_constants: int) -> Held | list[Held]:
    """What the result of an operation holds."""
    read = list(node.references())
    held = [_single(found.held[name]) for name in read]
    if node.op == GET_ITEM:
        several, place = found.held[read[0]], node.args[1]
        return several[place] if isinstance(several, list) else several
    dependent = next((one for one in held if isinstance(one, Dependent)), None)
    if dependent is not None:
        return dependent
    if all(one is Kind.FREE for one in held):
        return Kind.FREE
    kinds = set(held)
    if node.op in ("aten.eq.Scalar", "aten.ne.Scalar") and _numbers(node) == [0]:
        return Kind.FREE  # whether something is there
    if node.op in ("aten.eq.Tensor", "aten.ne.Tensor") and len(held) == 2 and len(kinds) == 1:
        return Kind.FREE
    if kinds == {Kind.ARGUMENTS} or (node.op in _LOOKUPS and held[-1] is Kind.ARGUMENTS):
        result = _of_arguments(node, read, nodes, found, num_constants)
    elif kinds == {Kind.ATOMS} and len(read) == 1:
        result = _of_atoms(node, nodes[read[0]])
    else:
        result = None
    if result is None:
        return Dependent(f"{_told(node)} computes with the numbers of arguments")
    return result


def _of_arguments(
    node: Node, read: Sequence[str], nodes: Mapping[str, Node], found: _Found, num_constants: int
) -> Held | list[Held] | None:
    """What an operation makes of indices of arguments; None for something that depends on them."""
    if node.op in _LOOKUPS:
        if not _is_lookup(node, read[0], found.held) or nodes[read[0]].op not in (PARAMETER, CONSTANT):
            return None
        found.tables.add(read[0])
        return Kind.FREE
    if node.op in _RESHAPING or node.op == "aten.cat.default":
        return Kind.ARGUMENTS
    if node.op == "aten.split_with_sizes.default":
        return [Kind.ARGUMENTS for _ in node.results]
    offset = _FIRST_VARIABLE.get(node.op)
    if offset is not None and len(node.args) == 2 and _numbers(node) == [num_constants + offset]:
        found.comparisons.add(node.name)
        return Kind.FREE
    return None


def _of_atoms(node: Node, source: Node) -> Held | list[Held] | None:
    """What an operation makes of atoms; None for something that depends on their arguments."""
    rank = len(source.results[0].shape)
    if node.op in ("aten.select.int", "aten.slice.Tensor", "aten.split_with_sizes.default"):
        axis = _argument(node, 1, "dim", 0)
        if node.op == "aten.split_with_sizes.default":
            axis = _argument(node, 2, "dim", 0)
        if type(axis) is not int:
            return None
        if axis % rank != rank - 1:
            several = node.op == "aten.split_with_sizes.default"
            return [Kind.ATOMS for _ in node.results] if several else Kind.ATOMS
        return _of_columns(node)
    if node.op in _KEEPS_LAST_AXIS:
        inserted = _argument(node, 1, "dim", 0) if node.op == "aten.unsqueeze.default" else 0
        shape = node.results[0].shape
        is_last = node.op == "aten.unsqueeze.default" and inserted % (rank + 1) == rank
        return Kind.ATOMS if shape[-1] == 3 and not is_last else None
    if node.op == "aten.permute.default":
        axes = _argument(node, 1, "dims", ())
        return Kind.ATOMS if axes and axes[-1] % rank == rank - 1 else None
    return None


def _of_columns(node: Node) -> Held | list[Held] | None:
    """What columns of atoms hold: the predicate comes first, then two arguments."""
    columns = range(3)
    if node.op == "aten.select.int":
        place = _argument(node, 2, "index", None)
        if type(place) is not int:
            return None
        return _of_some(columns[place : place + 1] if place >= 0 else columns[place:][:1])
    if node.op == "aten.slice.Tensor":
        start, end, step = (
            _argument(node, place, name, default)
            for place, name, default in ((2, "start", None), (3, "end", None), (4, "step", 1))
        )
        if any(type(number) not in (int, type(None)) for number in (start, end, step)):
            return None
        return _of_some(columns[start:end:step])
    sizes, parts, begin = _argument(node, 1, "split_sizes", ()), [], 0
    for size in sizes:
        part = _of_some(columns[begin : begin + size])
        parts.append(part if part is not None else Dependent(f"{_told(node)} mixes predicates and arguments"))
        begin += size
    return parts


def _of_some(columns: range) -> Held | None:
    if list(columns) == [0]:
        return Kind.FREE
    if list(columns) == [0, 1, 2]:
        return Kind.ATOMS
    return Kind.ARGUMENTS if len(columns) and 0 not in columns else None


def _is_lookup(node: Node, table: str, held: Mapping[str, Held | list[Held]]) -> bool:
    """Whether a node looks arguments up in the rows of a table, and does nothing else with it."""
    if node.op not in _LOOKUPS or len(node.args) < 2 or node.args[0] != Ref(table):
        return False
    index = node.args[1]
    if node.op == "aten.index.Tensor":
        if not (isinstance(index, tuple) and len(index) == 1):
            return False
        (index,) = index
    return isinstance(index, Ref) and held[index.name] is Kind.ARGUMENTS


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    """An argument of a node, by place or by name."""
    if place < len(node.args):
        return node.args[place]
    return dict(node.kwargs).get(name, default)


def _numbers(node: Node) -> list[Any]:
    """The arguments of a node that are no results."""
    return [*(value for value in node.args if not isinstance(value, Ref)), *dict(node.kwargs).values()]


def _single(held: Held | list[Held]) -> Held:
    """What is read of a result, or of several at once, which only taking one of them can tell apart."""
    if not isinstance(held, list):
        return held
    if all(one is Kind.FREE for one in held):
        return Kind.FREE
    return Dependent("it reads several results at once")


def _told(node: Node) -> str:
    return f"its operation {shown(node.name)} ({node.op})"
