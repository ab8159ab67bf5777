"""Whether a row of an exported network depends on the rows beside it: asked of the network itself, bit for bit.

A tile of random states is computed as it is, in another order, and with other states or none beside some of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from proofrank.core.policy.exported.checking import TILE_ROWS
from proofrank.core.policy.exported.program import Program

Function = Callable[..., Tensor]
"""Maps the inputs of a tile, each ``[TILE_ROWS, A, 3]`` int64, to its results."""

_MOST_ROUNDING = 1e-4
"""Difference that rounding explains, relative to 1 plus the largest result."""


class Differing(NamedTuple):
    """A company in which a row has other bits than in its own tile.

    Attributes:
        company: what it is, as in ``a state {company}``.
        difference: largest difference of a result; NaN where a result is not a number.
        is_rounding: whether rounding explains the difference.
    """

    company: str
    difference: float
    is_rounding: bool


def random_inputs(
    program: Program, num_predicates: int, num_arguments: int, generator: torch.Generator
) -> list[Tensor]:
    """Returns inputs of a tile: states of 1 to A atoms, padded with zeros; the largest indices are among them.

    Args:
        program: says how many inputs and atoms there are.
        num_predicates: rows of a table of predicates, padding and terminal predicates included.
        num_arguments: rows of a table of arguments, padding and variables included.
        generator: of the numbers.
    """
    return [
        _random_states(program.num_atoms, num_predicates, num_arguments, generator)
        for _ in range(program.num_inputs)
    ]


def _random_states(
    num_atoms: int, num_predicates: int, num_arguments: int, generator: torch.Generator
) -> Tensor:
    shape = (TILE_ROWS, num_atoms)
    predicate = torch.randint(1, num_predicates, shape, generator=generator)
    arguments = [torch.randint(0, num_arguments, shape, generator=generator) for _ in range(2)]
    states = torch.stack([predicate, *arguments], dim=-1)
    # The first is full and has the largest indices, the second only its first place.
    states[0] = torch.tensor([num_predicates - 1, num_arguments - 1, num_arguments - 1])
    length = torch.randint(1, num_atoms + 1, (TILE_ROWS,), generator=generator)
    length[0], length[1] = num_atoms, 1
    return states * (torch.arange(num_atoms) < length.unsqueeze(1)).unsqueeze(-1)


@torch.inference_mode()
def differing_company(
    function: Function, make_inputs: Callable[[torch.Generator], list[Tensor]], num_times: int = 2
) -> Differing | None:
    """Returns a company in which a row has other bits than in its own tile; None if none that was tried is one.

    One whose difference is more than rounding comes first: a mean over the rows differs in another order by rounding
    alone, and beside other rows by itself.

    Args:
        function: the network on one tile.
        make_inputs: makes random inputs.
        num_times: how many tiles are tried.
    """
    generator = torch.Generator().manual_seed(0)
    rounding: Differing | None = None
    for _ in range(num_times):
        inputs, others = make_inputs(generator), make_inputs(generator)
        own = function(*inputs)
        for name, order, company in _companies(inputs, others, generator):
            given = function(*company)
            found, expected = given[order >= 0], own[order[order >= 0]]
            if not _are_same_bits(found, expected):
                difference = (found - expected).abs().max().item()
                is_rounding = difference <= _MOST_ROUNDING * (1 + own.abs().max().item())
                if not is_rounding:
                    return Differing(name, difference, is_rounding)
                rounding = rounding or Differing(name, difference, is_rounding)
    return rounding


def _companies(
    inputs: list[Tensor], others: list[Tensor], generator: torch.Generator
) -> Iterator[tuple[str, Tensor, list[Tensor]]]:
    """Yields a name, for each row the row of ``inputs`` that it is (-1 for another), and the inputs."""
    turned = torch.randperm(TILE_ROWS, generator=generator)
    yield "in another order", turned, [given[turned] for given in inputs]
    place = torch.arange(TILE_ROWS)
    for number in (0, 1, int(torch.randint(TILE_ROWS, (), generator=generator)), TILE_ROWS - 1):
        order = torch.where(place == number, place, -1)
        keep = (place == number).view(-1, 1, 1)
        yield "alone", order, [given * keep for given in inputs]
    is_kept = torch.rand(TILE_ROWS, generator=generator) < 0.5
    order = torch.where(is_kept, place, -1)
    keep = is_kept.view(-1, 1, 1)
    yield (
        "beside other states",
        order,
        [torch.where(keep, given, other) for given, other in zip(inputs, others, strict=True)],
    )


def _are_same_bits(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.contiguous().view(torch.int32), second.contiguous().view(torch.int32))
