"""Programs as JSON, one node a line::

    {"name": "x", "op": "input", "tensor": "0", "shape": [{"rows": 1}, 6, 3], "dtype": "int64"}
    {"name": "w", "op": "parameter", "tensor": "head.weight", "shape": [16, 32], "dtype": "float32"}
    {"name": "s", "op": "aten.select.int", "args": [{"node": "x"}, 2, 0],
     "shape": [{"rows": 1}, 6], "dtype": "int64"}

An argument is null, a Boolean, a number, a list of arguments, or an object with one entry: ``node`` (an earlier
result), ``rows`` (times the number of rows), ``dtype``, ``text``, or ``float`` (``inf`` or ``-inf``). An operation with
several results has ``results``, a list of shapes with dtypes, in place of ``shape`` and ``dtype``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from proofrank.core.errors import PolicyError, shown
from proofrank.core.policy.exported.checking import MOST_NODES, ProgramError
from proofrank.core.policy.exported.program import (
    CONSTANT,
    DTYPES,
    INPUT,
    PARAMETER,
    DType,
    Node,
    Program,
    Ref,
    Result,
    Rows,
    Size,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_PARTS = 1024
"""Maximum number of parts of a list, and of the sizes of a shape."""

_LARGEST = 2**53
_MAPS = ("states", "pairs")


def to_json(program: Program) -> dict[str, Any]:
    """Returns the form of a program."""
    return {
        "maps": program.maps,
        "atoms": program.num_atoms,
        "output": program.output,
        "nodes": [_node_to_json(node) for node in program.nodes],
    }


def _node_to_json(node: Node) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": node.name, "op": node.op}
    if node.is_operation:
        fields["args"] = [_to_json(value) for value in node.args]
        if node.kwargs:
            fields["kwargs"] = {name: _to_json(value) for name, value in node.kwargs}
    else:
        fields["tensor"] = node.tensor
    results = [
        {"shape": [_to_json(size) for size in result.shape], "dtype": result.dtype} for result in node.results
    ]
    return {**fields, **results[0]} if len(results) == 1 else {**fields, "results": results}


def _to_json(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"node": value.name}
    if isinstance(value, Rows):
        return {"rows": value.multiple}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, tuple):
        return [_to_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def from_json(fields: Mapping[str, Any]) -> Program:
    """Returns the program of its form, which is not checked yet but for its form.

    Raises:
        PolicyError: the form is another; names the node.
    """
    maps, num_atoms, output, nodes = (fields.get(name) for name in ("maps", "atoms", "output", "nodes"))
    if maps not in _MAPS:
        raise PolicyError(f"'maps' is {shown(maps)}; expected one of {', '.join(_MAPS)}")
    if type(num_atoms) is not int:
        raise PolicyError(f"'atoms' is {shown(num_atoms)}; expected a whole number")
    if not isinstance(output, str):
        raise PolicyError(f"'output' is {shown(output)}; expected the name of a node")
    if not isinstance(nodes, list) or len(nodes) > MOST_NODES:
        raise PolicyError(f"'nodes' is {shown(nodes)}; expected a list of at most {MOST_NODES}")
    return Program(maps, num_atoms, tuple(_node(number, node) for number, node in enumerate(nodes)), output)


def _node(number: int, fields: Any) -> Node:
    if not isinstance(fields, dict):
        raise PolicyError(f"node {number} is {shown(fields)}; expected an object")
    name, op, tensor = (fields.get(key) for key in ("name", "op", "tensor"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PolicyError(
            f"node {number} has the name {shown(name)}; expected letters, digits and underscores"
        )
    if not isinstance(op, str):
        raise ProgramError(name, f"its operation is {shown(op)}; expected a name")
    is_operation = op not in (INPUT, PARAMETER, CONSTANT)
    known = {"name", "op", "shape", "dtype", "results"} | ({"args", "kwargs"} if is_operation else {"tensor"})
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ProgramError(name, f"has an entry {shown(unknown[0])}")
    if not is_operation and not isinstance(tensor, str):
        raise ProgramError(name, f"'tensor' is {shown(tensor)}; expected a name")
    args, kwargs = fields.get("args", []), fields.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ProgramError(name, "'args' is no list or 'kwargs' no object")
    return Node(
        name=name,
        op=op,
        args=_argument(name, args, depth=0),
        kwargs=tuple((key, _argument(name, value, depth=1)) for key, value in kwargs.items()),
        results=_results(name, fields),
        tensor=tensor if isinstance(tensor, str) else "",
    )


def _argument(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, list):
        if depth > 1 or len(value) > _MOST_PARTS:
            raise ProgramError(
                name,
                f"an argument is {shown(value)}; expected at most {_MOST_PARTS} parts, and no lists in lists",
            )
        return tuple(_argument(name, part, depth + 1) for part in value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in ("node", "text") and isinstance(content, str):
            return Ref(content) if kind == "node" else content
        if kind == "rows" and _is_whole(content):
            return Rows(content)
        if kind == "dtype" and isinstance(content, str) and content in DTYPES:
            return DType(content)
        if kind == "float" and content in ("inf", "-inf"):
            return float(content)
    elif value is None or isinstance(value, bool) or _is_whole(value) or _is_finite(value):
        return value
    raise ProgramError(name, f"an argument is {shown(value)}, which has no meaning here")


def _is_whole(value: Any) -> bool:
    # Larger ones occur in programs for "to the end", as the largest int64.
    return type(value) is int and (abs(value) <= _LARGEST or value == 2**63 - 1)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _results(name: str, fields: Mapping[str, Any]) -> tuple[Result, ...]:
    if "results" not in fields:
        return (_result(name, fields),)
    results = fields["results"]
    if not isinstance(results, list) or not 1 <= len(results) <= _MOST_PARTS:
        raise ProgramError(name, f"'results' is {shown(results)}; expected a list of shapes with dtypes")
    if not all(isinstance(result, dict) for result in results):
        raise ProgramError(name, f"'results' is {shown(results)}; expected a list of objects")
    return tuple(_result(name, result) for result in results)


def _result(name: str, fields: Mapping[str, Any]) -> Result:
    shape, dtype = fields.get("shape"), fields.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ProgramError(name, f"'dtype' is {shown(dtype)}; expected one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > _MOST_PARTS:
        raise ProgramError(name, f"'shape' is {shown(shape)}; expected a list of sizes")
    return Result(tuple(_size(name, size) for size in shape), dtype)


def _size(name: str, value: Any) -> Size:
    if type(value) is int and 0 <= value <= _LARGEST:
        return value
    if isinstance(value, dict) and len(value) == 1:
        multiple = value.get("rows")
        if type(multiple) is int and 0 <= multiple <= _LARGEST:
            return Rows(multiple)
    raise ProgramError(name, f"a size is {shown(value)}; expected a whole number, 0 or more")


def dumps(program: Program) -> str:
    """Returns the JSON of a program, a node a line."""
    form = to_json(program)
    nodes = ",\n  ".join(json.dumps(node, allow_nan=False) for node in form.pop("nodes"))
    return f'{json.dumps(form)[:-1]}, "nodes": [\n  {nodes}\n ]}}'
