"""How many lanes each task may move in a tick: fair by request, and jobs yield.

On a CPU a tick costs what its moving lanes cost, so a large task beside a small one moves no more lanes than that;
alone it leaves half of the lanes free, for whoever comes next. On a GPU a tick costs the same however many lanes move,
so that none is left idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LANES_PER_TASK = 16
"""Lanes for each task that has a turn, at least: with fewer all would end late, and none early. A tick of few lanes
costs hardly less than one of twice as many, so where many tasks run, all together keep the evaluator busy."""

JOB_FRACTION = 8
"""While others run, jobs together move one lane for so many of theirs."""


@dataclass(frozen=True)
class Demand:
    """A task that wants lanes.

    Attributes:
        num_candidates: how many it has left.
        is_job: whether it yields.
    """

    num_candidates: int
    is_job: bool


def moving_lanes(demands: Sequence[Demand], num_lanes: int, *, is_cost_by_lane: bool) -> list[int]:
    """How many lanes each task may move.

    Args:
        demands: the tasks, the oldest first.
        num_lanes: all lanes.
        is_cost_by_lane: whether a tick costs what its moving lanes cost.
    """
    urgent = [demand.num_candidates for demand in demands if not demand.is_job]
    jobs = [demand.num_candidates for demand in demands if demand.is_job]
    if not is_cost_by_lane:
        # One lane for jobs, or they would stand still for as long as others want all of them.
        of_urgent = fill(urgent, max(1, num_lanes - min(1, len(jobs))))
        of_jobs = fill(jobs, num_lanes - sum(of_urgent))
    else:
        of_urgent = fill(urgent, _worthwhile(urgent, num_lanes))
        if urgent:
            # Never none, so that a job goes on however much there is beside it.
            most = max(1, min(sum(of_urgent) // JOB_FRACTION, num_lanes - sum(of_urgent)))
        else:
            most = _worthwhile(jobs, num_lanes)
        of_jobs = fill(jobs, most)
    urgent_shares, job_shares = iter(of_urgent), iter(of_jobs)
    return [next(job_shares if demand.is_job else urgent_shares) for demand in demands]


def _worthwhile(demands: Sequence[int], num_lanes: int) -> int:
    """Lanes that a tick should move: what keeps the smallest task from waiting for the others."""
    if len(demands) <= 1:
        return max(1, num_lanes // 2)
    return min(num_lanes, len(demands) * max(LANES_PER_TASK, min(demands)))


def fill(demands: Sequence[int], total: int) -> list[int]:
    """Shares of ``total``, as equal as the demands allow (max-min fair); what cannot be split goes to the first."""
    shares = [0] * len(demands)
    left = total
    # The smallest demand first: what it does not use is for those that want more.
    order = sorted(range(len(demands)), key=lambda index: demands[index])
    for position, index in enumerate(order):
        shares[index] = min(demands[index], -(-left // (len(order) - position)))
        left -= shares[index]
    return shares
