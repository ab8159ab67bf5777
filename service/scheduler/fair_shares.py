"""The number of lanes that each task may move in a tick: fair between requests, and jobs yield.

On a CPU a tick costs what its moving lanes cost, so a large task moves no more lanes than a small one beside it; alone
it leaves half of the lanes free for the next task. On a GPU a tick costs the same however many lanes move, so no lane
stays idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LANES_PER_TASK = 16
"""Minimum number of lanes for each task that has a turn. With fewer, all tasks would end late and none early. A tick of
few lanes costs hardly less than one of twice as many, so with many tasks, all together keep the evaluator busy.
"""

JOB_FRACTION = 8
"""Ratio of lanes: while requests run, jobs together move one lane for this many of the requests'."""


@dataclass(frozen=True)
class Demand:
    """A task's need for lanes.

    Attributes:
        num_candidates: candidates that have a lane or may have one.
        is_job: whether it yields to requests.
    """

    num_candidates: int
    is_job: bool


def moving_lanes(demands: Sequence[Demand], num_lanes: int, *, is_cost_by_lane: bool) -> list[int]:
    """Returns the number of lanes that each task may move.

    Args:
        demands: the tasks, the oldest first.
        num_lanes: number of all lanes.
        is_cost_by_lane: whether a tick costs what its moving lanes cost.
    """
    urgent = [demand.num_candidates for demand in demands if not demand.is_job]
    jobs = [demand.num_candidates for demand in demands if demand.is_job]
    if not is_cost_by_lane:
        # Keeps one lane for jobs, which would otherwise stop while requests want all lanes.
        of_urgent = fill(urgent, max(1, num_lanes - min(1, len(jobs))))
        of_jobs = fill(jobs, num_lanes - sum(of_urgent))
    else:
        of_urgent = fill(urgent, _worthwhile(urgent, num_lanes))
        if urgent:
            # At least one lane, so that a job advances beside any load.
            most = max(1, min(sum(of_urgent) // JOB_FRACTION, num_lanes - sum(of_urgent)))
        else:
            most = _worthwhile(jobs, num_lanes)
        of_jobs = fill(jobs, most)
    urgent_shares, job_shares = iter(of_urgent), iter(of_jobs)
    return [next(job_shares if demand.is_job else urgent_shares) for demand in demands]


def _worthwhile(demands: Sequence[int], num_lanes: int) -> int:
    """Returns the number of lanes that a tick should move so that the smallest task does not wait for the others."""
    if len(demands) <= 1:
        return max(1, num_lanes // 2)
    return min(num_lanes, len(demands) * max(LANES_PER_TASK, min(demands)))


def fill(demands: Sequence[int], total: int) -> list[int]:
    """Returns shares of ``total`` as equal as the demands allow (max-min fair); the remainder goes to the first."""
    shares = [0] * len(demands)
    left = total
    # The smallest demand first; what it does not use goes to larger ones.
    order = sorted(range(len(demands)), key=lambda index: demands[index])
    for position, index in enumerate(order):
        shares[index] = min(demands[index], -(-left // (len(order) - position)))
        left -= shares[index]
    return shares
