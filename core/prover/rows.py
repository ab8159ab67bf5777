"""Packs requests of different sizes into a buffer of rows: which lanes are admitted, and which lane owns each row.

Lanes request rows. They are admitted in turn, beginning with one that may rotate, while their requests fit. A request
is never cut. The rows of a lane are contiguous, so everything about them is a difference of two prefix sums: exact, in
a fixed order, without atomics.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def rotation(num_lanes: int, first_lane: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the order in which lanes have their turn, beginning with ``first_lane`` ``[]`` int64.

    Returns:
        The lanes in that order, and the place of each lane in it, ``[B]`` int64 each.
    """
    lanes = torch.arange(num_lanes, device=first_lane.device)
    return (lanes + first_lane) % num_lanes, (lanes - first_lane) % num_lanes


class Admission(NamedTuple):
    """The lanes that are admitted, and their rows.

    Attributes:
        is_admitted: ``[B]`` bool; a lane without a request is admitted if those before it are.
        begin: ``[B]`` int64, first row of each lane.
        end: ``[B]`` int64, one past its last row; ``begin`` for a lane that is not admitted.
        total: ``[]`` int64, rows in use.
        order: ``[B]`` int64, the lanes in the order of their turns.
        ends_in_order: ``[B]`` int64, one past the last row of each, in that order.
    """

    is_admitted: Tensor
    begin: Tensor
    end: Tensor
    total: Tensor
    order: Tensor
    ends_in_order: Tensor


def admit(request: Tensor, capacity: int, first_lane: Tensor) -> Admission:
    """Admits lanes in turn while their requests fit.

    Args:
        request: ``[B]`` int64, rows that each lane requests.
        capacity: number of rows.
        first_lane: ``[]`` int64, the lane whose turn is first.
    """
    order, place = rotation(request.shape[0], first_lane)
    in_order = request[order]
    ends = torch.cumsum(in_order, dim=0)
    fits = ends <= capacity
    ends = torch.where(fits, ends, 0)
    total = ends.max()
    is_admitted = fits[place]
    end = torch.where(is_admitted, ends[place], 0)
    begin = torch.where(is_admitted, end - request, 0)
    return Admission(is_admitted, begin, end, total, order, torch.where(fits, ends, total))


class Rows(NamedTuple):
    """Rows and their lanes, all ``[R]``.

    Attributes:
        lane: int64; 0 for a row without a lane.
        place: int64, place of the row among those of its lane.
        is_row: bool, whether the row belongs to a lane.
    """

    lane: Tensor
    place: Tensor
    is_row: Tensor


def rows_of(admission: Admission, num_rows: int) -> Rows:
    """Returns the first ``num_rows`` rows of an admission."""
    row = torch.arange(num_rows, device=admission.total.device)
    place = torch.searchsorted(admission.ends_in_order, row, right=True)
    lane = admission.order[place.clamp(max=admission.order.shape[0] - 1)]
    is_row = row < admission.total
    lane = torch.where(is_row, lane, 0)
    return Rows(lane, row - admission.begin[lane], is_row)


def all_admitted(ends_in_order: Tensor, order: Tensor, place: Tensor) -> Admission:
    """The admission of lanes whose rows all fit.

    Args:
        ends_in_order: ``[B]`` int64, one past the last row of each lane, in the order of their turns.
        order: ``[B]`` int64, the lanes in that order.
        place: ``[B]`` int64, the place of each lane in it.
    """
    end, begin = ends_in_order[place], counted_before(ends_in_order, place)
    is_admitted = torch.ones_like(place, dtype=torch.bool)
    return Admission(is_admitted, begin, end, ends_in_order[-1], order, ends_in_order)


def counted_before(inclusive: Tensor, row: Tensor) -> Tensor:
    """Returns the prefix sum before each ``row``.

    No sum with a 0 in front is built for it, which would take two launches on a GPU.

    Args:
        inclusive: ``[R]`` int64, prefix sum up to and with each row.
        row: ``[...]`` int64, from 0 to R.
    """
    return torch.where(row > 0, inclusive[(row - 1).clamp(min=0)], 0)


class Tally:
    """Counts flagged rows by prefix sums.

    Attributes:
        inclusive: ``[R]`` int64, flagged rows up to and with each row.
        total: ``[]`` int64, all flagged rows.
    """

    def __init__(self, flags: Tensor) -> None:
        """Counts ``flags`` ``[R]`` bool."""
        self._flags = flags
        self.inclusive = torch.cumsum(flags, dim=0)
        self.total = self.inclusive[-1]

    def before(self, row: Tensor) -> Tensor:
        """Returns the number of flagged rows before each ``row`` ``[...]`` int64, from 0 to R."""
        return counted_before(self.inclusive, row)

    def of_lanes(self, admission: Admission) -> Tensor:
        """Returns the number of flagged rows of each lane, ``[B]`` int64."""
        return self.before(admission.end) - self.before(admission.begin)

    def rank(self, rows: Rows, admission: Admission) -> Tensor:
        """Returns the number of flagged rows of the same lane before each row, ``[R]`` int64."""
        return self.inclusive - self._flags.long() - self.before(admission.begin)[rows.lane]

    def find(self, admission: Admission, rank: Tensor) -> Tensor:
        """Returns the flagged row of that rank in each lane, ``[B]`` int64; any row if there is none."""
        wanted = self.before(admission.begin) + rank + 1
        row = torch.searchsorted(self.inclusive, wanted)
        return row.clamp(max=max(0, self.inclusive.shape[0] - 1))
