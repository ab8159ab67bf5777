"""Checks a program before anything of it is computed: its operations, and the shape and dtype of every result.

Shapes are found on tensors without memory, for two numbers of rows. A program that passes has results of the shapes
that it states, for any number of rows, and is within the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from proofrank.core.errors import PolicyError, did_you_mean, nearest_names, shown
from proofrank.core.policy.exported.operations import ABOUT_MEMORY, ALLOWED, MAKING_TENSORS, function_of
from proofrank.core.policy.exported.program import (
    CONSTANT,
    DTYPES,
    GET_ITEM,
    INPUT,
    PARAMETER,
    Node,
    Program,
    Result,
    Rows,
    concrete,
)

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

TILE_ROWS = 64
"""Number of rows that a network is given at once, always. A library may add in another order for another number of
rows, so every row is computed beside as many others, and has the same bits in any company."""

MOST_NODES = 8192
MOST_ATOMS = 1 << 10
MOST_WEIGHTS = 1 << 28
"""Maximum of the elements of all parameters and constants: 1 GiB in float32."""

MOST_ELEMENTS = 1 << 27
"""Maximum of the elements of all results for one tile: 512 MiB in float32 if all were kept."""

MOST_FLOPS = 1 << 35
"""Maximum of the multiplications and additions for one tile: about a second of a core."""


class ProgramError(PolicyError):
    """A program cannot be used; its text names the node."""

    def __init__(self, node: str, problem: str) -> None:
        super().__init__(f"node {shown(node)}: {problem}")


def check(program: Program) -> None:
    """Checks a program.

    Raises:
        PolicyError: says what is wrong, and in which node.
    """
    _check_structure(program)
    flops = 0
    for num_rows in (TILE_ROWS, 2 * TILE_ROWS):
        with _counting_flops() as counter:
            _check_results(program, num_rows)
        if num_rows == TILE_ROWS:
            flops = counter.get_total_flops()
    if flops > MOST_FLOPS:
        raise PolicyError(
            f"the network needs {flops:.1e} multiplications and additions for {TILE_ROWS} rows; expected at most "
            f"{MOST_FLOPS:.1e}"
        )
    _check_output(program)


def _counting_flops() -> FlopCounterMode:
    # Imported late: it loads triton, where that is installed.
    from torch.utils.flop_counter import FlopCounterMode

    return FlopCounterMode(display=False)


def embedding_dim(program: Program) -> int:
    """Returns E of a checked program; 1 for pairs."""
    result = next(node for node in program.nodes if node.name == program.output).results[0]
    size = result.shape[1] if program.maps == "states" else 1
    assert isinstance(size, int)
    return size


def elements_of_a_row(program: Program) -> int:
    """Returns the elements of all results of operations for one row, rounded up; those in use at once are fewer."""
    total = 0
    for node in program.nodes:
        if node.is_operation and node.op != GET_ITEM:
            total += sum(_numel(result.shape_of(TILE_ROWS)) for result in node.results)
    return -(-total // TILE_ROWS)


def flops_of_a_row(program: Program) -> int:
    """Returns the multiplications and additions in the matrix products of a checked program for one row."""
    with _counting_flops() as counter:
        _check_results(program, TILE_ROWS)
    return counter.get_total_flops() // TILE_ROWS


def _check_structure(program: Program) -> None:
    if not 1 <= program.num_atoms <= MOST_ATOMS:
        raise PolicyError(
            f"the network takes {program.num_atoms} atoms; expected a number from 1 to {MOST_ATOMS}"
        )
    if len(program.nodes) > MOST_NODES:
        raise PolicyError(f"the network has {len(program.nodes)} nodes; expected at most {MOST_NODES}")
    known: set[str] = set()
    tensors: set[str] = set()
    for node in program.nodes:
        if node.name in known:
            raise ProgramError(node.name, "there are two of this name")
        for reference in node.references():
            if reference not in known:
                raise ProgramError(node.name, f"reads {shown(reference)}, which is no node before it")
        if node.is_operation and node.op not in ALLOWED:
            hint = did_you_mean(nearest_names(node.op, ALLOWED))
            raise ProgramError(node.name, f"operation {shown(node.op)} is not allowed{hint}")
        for name, _ in node.kwargs:
            if name in ABOUT_MEMORY:
                raise ProgramError(node.name, f"argument {name} is not allowed")
        if not node.results or (not node.is_operation and len(node.results) != 1):
            raise ProgramError(node.name, f"states {len(node.results)} results")
        if node.op in (PARAMETER, CONSTANT):
            if node.tensor in tensors:
                raise ProgramError(node.name, f"tensor {shown(node.tensor)} is read twice")
            tensors.add(node.tensor)
        known.add(node.name)
    _check_inputs(program)
    total = sum(_numel(result.shape_of(0)) for node in program.weights for result in node.results)
    if total > MOST_WEIGHTS:
        raise PolicyError(f"the network has {total} weights; expected at most {MOST_WEIGHTS}")
    if program.output not in known:
        raise PolicyError(f"the network's output is {shown(program.output)}, which is no node")


def _check_inputs(program: Program) -> None:
    inputs = [node for node in program.nodes if node.op == INPUT]
    places = sorted(node.tensor for node in inputs)
    if places != [str(place) for place in range(program.num_inputs)]:
        raise PolicyError(
            f"the network reads inputs {', '.join(places) or 'none'}; expected {program.num_inputs} for "
            f"{program.maps}, counted from 0"
        )
    expected = Result((Rows(1), program.num_atoms, 3), "int64")
    for node in inputs:
        if node.results[0] != expected:
            raise ProgramError(node.name, f"is {_told(node.results[0])}; expected {_told(expected)}")
    for node in program.weights:
        if any(isinstance(size, Rows) for size in node.results[0].shape):
            raise ProgramError(node.name, "a weight's shape depends on the number of rows")


def _check_output(program: Program) -> None:
    node = next(node for node in program.nodes if node.name == program.output)
    result = node.results[0]
    num_sizes = 2 if program.maps == "states" else 1
    is_right = (
        len(node.results) == 1
        and result.dtype == "float32"
        and len(result.shape) == num_sizes
        and result.shape[0] == Rows(1)
        and all(type(size) is int and size >= 1 for size in result.shape[1:])
    )
    if not is_right:
        wanted = "[N, E] float32, a vector a state" if num_sizes == 2 else "[N] float32, a logit a pair"
        raise ProgramError(node.name, f"the network's output is {_told(result)}; expected {wanted}")


def _check_results(program: Program, num_rows: int) -> None:
    """Runs the program on tensors without memory, and compares each result with what its node states."""
    results: dict[str, Any] = {}
    num_elements = 0
    for node in program.nodes:
        stated = [result.shape_of(num_rows) for result in node.results]
        if not node.is_operation:
            if min(stated[0], default=0) < 0 or _numel(stated[0]) > MOST_WEIGHTS:
                raise ProgramError(
                    node.name, f"its shape is {shown(stated[0])}; expected at most {MOST_WEIGHTS} elements"
                )
            try:
                results[node.name] = torch.empty(
                    stated[0], dtype=DTYPES[node.results[0].dtype], device="meta"
                )
            except (RuntimeError, OverflowError) as error:
                raise ProgramError(node.name, f"no tensor has its shape: {first_line(error)}") from error
            continue
        found = result_of(node, num_rows, results)
        tensors = [found] if isinstance(found, Tensor) else list(found)
        _check_stated(node, num_rows, stated, tensors)
        num_elements += sum(map(_numel, stated))
        if num_elements > MOST_ELEMENTS * num_rows // TILE_ROWS:
            raise ProgramError(
                node.name,
                f"with it, the results of {num_rows} rows have {num_elements} elements; expected at most "
                f"{MOST_ELEMENTS * num_rows // TILE_ROWS}",
            )
        results[node.name] = found


def result_of(node: Node, num_rows: int, results: Mapping[str, Any]) -> Any:
    """Returns what a node gives on tensors without memory: a tensor or a tuple of tensors.

    Args:
        node: an operation.
        num_rows: number of rows.
        results: those of earlier nodes.

    Raises:
        PolicyError: its operation does not take its arguments.
    """

    def argument(value: Any) -> Any:
        return concrete(value, num_rows, results.__getitem__, torch.float32)

    args, kwargs = (
        [argument(value) for value in node.args],
        {name: argument(value) for name, value in node.kwargs},
    )
    if node.op == GET_ITEM and not (
        len(args) == 2 and isinstance(args[0], tuple) and type(args[1]) is int and 0 <= args[1] < len(args[0])
    ):
        raise ProgramError(node.name, "expected a node of several results and the place of one")
    if node.op in MAKING_TENSORS:
        kwargs["device"] = "meta"
    try:
        with torch.no_grad():
            found = function_of(node.op)(*args, **kwargs)
    # An operation that is given nonsense raises anything.
    except Exception as error:
        raise ProgramError(
            node.name, f"{node.op} does not take its arguments: {first_line(error)}"
        ) from error
    if isinstance(found, list):
        found = tuple(found)
    tensors = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(tensor, Tensor) and tensor.is_meta for tensor in tensors):
        raise ProgramError(node.name, f"{node.op} gives no tensor")
    return found


def _check_stated(node: Node, num_rows: int, stated: list[list[int]], found: list[Tensor]) -> None:
    if len(stated) != len(found):
        raise ProgramError(node.name, f"states {len(stated)} results; {node.op} gives {len(found)}")
    for result, shape, tensor in zip(node.results, stated, found, strict=True):
        given = (list(tensor.shape), tensor.dtype)
        if given != (shape, DTYPES[result.dtype]):
            raise ProgramError(
                node.name,
                f"states {shown(shape)} {result.dtype} for {num_rows} rows; {node.op} gives {shown(given[0])} "
                f"{str(given[1]).removeprefix('torch.')}",
            )


def first_line(error: Exception) -> str:
    """Returns the beginning of what an error of torch says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _told(result: Result) -> str:
    sizes = [
        str(size) if isinstance(size, int) else "N" if size.multiple == 1 else f"{size.multiple} N"
        for size in result.shape
    ]
    return f"[{', '.join(sizes)}] {result.dtype}"


def _numel(shape: list[int]) -> int:
    number = 1
    for size in shape:
        number *= size
    return number
