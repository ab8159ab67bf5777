"""Shares of lanes: within the lanes and the demands, small tasks are not stuck, jobs yield."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofrank.service.scheduler.fair_shares import Demand, fill, moving_lanes

DEMANDS = st.lists(st.builds(Demand, st.integers(1, 10**6), st.booleans()), min_size=1, max_size=40)


@given(DEMANDS, st.integers(1, 5000), st.booleans())
def test_shares_are_within_the_lanes_and_the_demands_and_somebody_always_moves(
    demands: list[Demand], num_lanes: int, is_cost_by_lane: bool
) -> None:
    shares = moving_lanes(demands, num_lanes, is_cost_by_lane=is_cost_by_lane)

    assert len(shares) == len(demands)
    assert all(0 <= share <= demand.num_candidates for share, demand in zip(shares, demands, strict=True))
    assert 1 <= sum(shares) <= num_lanes + 1  # a job moves one lane even where there is but one


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 2000))
def test_filling_is_max_min_fair(demands: list[int], total: int) -> None:
    shares = fill(demands, total)

    assert sum(shares) == min(total, sum(demands))
    for share, demand in zip(shares, demands, strict=True):
        # A task with less than it wants has as much as any other, except for the remainder.
        assert share == demand or share >= max(shares) - 1


def test_what_cannot_be_split_goes_to_the_first() -> None:
    assert fill([10, 10, 10], 10) == [4, 3, 3]


@given(st.integers(1, 1000), st.integers(10**5, 10**6))
def test_on_a_cpu_a_large_task_moves_no_more_lanes_than_the_small_one_beside_it(
    small: int, large: int
) -> None:
    of_large, of_small = moving_lanes([Demand(large, False), Demand(small, False)], 256, is_cost_by_lane=True)

    assert of_small == min(small, 128)
    assert of_large <= max(of_small, 32 - of_small)


def test_on_a_cpu_a_task_alone_leaves_half_of_the_lanes_free() -> None:
    assert moving_lanes([Demand(10**6, False)], 256, is_cost_by_lane=True) == [128]


def test_on_a_cpu_many_tasks_fill_the_lanes_even_where_one_of_them_is_nearly_done() -> None:
    demands = [Demand(1, False), *[Demand(51, False)] * 15]

    assert sum(moving_lanes(demands, 256, is_cost_by_lane=True)) == 256


def test_on_a_device_no_lane_is_idle_while_candidates_wait() -> None:
    demands = [Demand(10**6, False), Demand(51, False), Demand(10**6, True)]

    assert moving_lanes(demands, 512, is_cost_by_lane=False) == [460, 51, 1]
    assert moving_lanes(demands[1:], 512, is_cost_by_lane=False) == [51, 461]


@pytest.mark.parametrize(("urgent", "of_job"), [(51, 6), (1, 1)])
def test_on_a_cpu_jobs_yield_to_what_somebody_waits_for_but_go_on(urgent: int, of_job: int) -> None:
    demands = [Demand(10**6, True), Demand(urgent, False)]

    assert moving_lanes(demands, 256, is_cost_by_lane=True) == [of_job, urgent]
