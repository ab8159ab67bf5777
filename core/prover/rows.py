"""Packs requests of different sizes into a buffer of rows: which lanes are admitted, and which lane owns each row.

Lanes request rows. They are admitted in turn, beginning with one that may rotate, while their requests fit. A request
is never cut. The rows of a lane are contiguous, so everything about them is a difference of two prefix sums: exact, in
a fixed order, without atomics.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST_ROWS = 2**31 - 1
"""Maximum number of rows, which are counted in 32 bits."""


def places(num_lanes: int, first_lane: Tensor) -> Tensor:
    """Returns the place of each lane in the order of turns, which begins with ``first_lane`` ``[]`` int64: ``[B]``
    int64."""
    return (torch.arange(num_lanes, device=first_lane.device) - first_lane) % num_lanes


class Admission(NamedTuple):
    """The lanes that are admitted, and their rows.

    Attributes:
        is_admitted: ``[B]`` bool; a lane without a request is admitted if those before it are.
        begin: ``[B]`` int64, first row of each lane.
        end: ``[B]`` int64, one past its last row; ``begin`` for a lane that is not admitted.
        total: ``[]`` int64, rows in use.
        in_lanes: ``[B]`` int64, prefix sum of the lanes' rows in the order of the lanes, not of their turns.
        num_late: ``[]`` int64, rows of the lanes before the first: they follow those of the others.
    """

    is_admitted: Tensor
    begin: Tensor
    end: Tensor
    total: Tensor
    in_lanes: Tensor
    num_late: Tensor


def admit(request: Tensor, capacity: int, first_lane: Tensor) -> Admission:
    """Admits lanes in turn while their requests fit.

    Nothing is put into the order of turns: sums are corrected for it, so that a compiler needs one launch.

    Args:
        request: ``[B]`` int64, rows that each lane requests.
        capacity: number of rows.
        first_lane: ``[]`` int64, the lane whose turn is first.
    """
    is_late, ends = _in_turn(request, first_lane)
    fits = ends <= capacity
    end, begin = torch.where(fits, ends, 0), torch.where(fits, ends - request, 0)
    return _admission(fits, begin, end, is_late)


def admit_parts(request: Tensor, capacity: int, first_lane: Tensor) -> Admission:
    """Admits all lanes, each with as many of its rows as fit; arguments as of :func:`admit`."""
    is_late, ends = _in_turn(request, first_lane)
    begin, end = (ends - request).clamp(max=capacity), ends.clamp(max=capacity)
    return _admission(torch.ones_like(is_late), begin, end, is_late)


def _in_turn(request: Tensor, first_lane: Tensor) -> tuple[Tensor, Tensor]:
    """Returns which lanes are before the first, ``[B]`` bool, and the sum of each lane's request and those of all whose
    turn was before, ``[B]`` int64.
    """
    is_late = torch.arange(request.shape[0], device=request.device) < first_lane
    num_late = torch.where(is_late, request, 0).sum()
    return is_late, torch.cumsum(request, dim=0) - num_late + torch.where(is_late, request.sum(), 0)


def _admission(is_admitted: Tensor, begin: Tensor, end: Tensor, is_late: Tensor) -> Admission:
    number = end - begin
    num_late = torch.where(is_late, number, 0).sum()
    return Admission(is_admitted, begin, end, number.sum(), torch.cumsum(number, dim=0), num_late)


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
    is_row = row < admission.total
    # The row's place in the order of lanes, where those before the first come first.
    place = row + admission.num_late
    place = torch.where(place < admission.total, place, place - admission.total)
    lane = torch.searchsorted(admission.in_lanes, place, right=True)
    lane = torch.where(is_row, lane.clamp(max=admission.in_lanes.shape[0] - 1), 0)
    return Rows(lane, row - admission.begin[lane], is_row)


def counted_before(inclusive: Tensor, row: Tensor) -> Tensor:
    """Returns the prefix sum before each ``row``.

    No sum with a 0 in front is built for it, which would take two launches on a GPU.

    Args:
        inclusive: ``[R]`` integers, prefix sum up to and with each row.
        row: ``[...]`` int64, from 0 to R.
    """
    return torch.where(row > 0, inclusive[(row - 1).clamp(min=0)], 0)


class Tally:
    """Counts flagged rows by prefix sums.

    Attributes:
        inclusive: ``[R]`` int32, flagged rows up to and with each row; there are at most ``MOST_ROWS``.
        total: ``[]`` int32, all flagged rows.
    """

    def __init__(self, flags: Tensor) -> None:
        """Counts ``flags`` ``[R]`` bool."""
        self._flags = flags
        self.inclusive = torch.cumsum(flags, dim=0, dtype=torch.int32)
        self.total = self.inclusive[-1]

    def before(self, row: Tensor) -> Tensor:
        """Returns the number of flagged rows before each ``row`` ``[...]`` int64, from 0 to R: ``[...]`` int32."""
        return counted_before(self.inclusive, row)

    def of_lanes(self, admission: Admission) -> Tensor:
        """Returns the number of flagged rows of each lane, ``[B]`` int32."""
        return self.before(admission.end) - self.before(admission.begin)

    def rank(self, rows: Rows, admission: Admission) -> Tensor:
        """Returns the number of flagged rows of the same lane before each row, ``[R]`` int32."""
        return self.inclusive - self._flags.int() - self.before(admission.begin)[rows.lane]

    def find(self, admission: Admission, rank: Tensor) -> Tensor:
        """Returns the flagged row of that rank in each lane, ``[B]`` int64; any row if there is none."""
        wanted = self.before(admission.begin) + rank + 1
        row = torch.searchsorted(self.inclusive, wanted.int())
        return row.clamp(max=max(0, self.inclusive.shape[0] - 1))
