"""The discrete-event model of bulk runs, on cases whose answers are known."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("simpy", reason="the simulation needs simpy: pip install 'proofrank[simulation]'")

from benchmarks.simulation.account import account_of, bounds_of
from benchmarks.simulation.cluster import Cluster, ClusterError, DriverCosts, WorkerCosts
from benchmarks.simulation.model import Loss, simulate
from benchmarks.simulation.shards import Shard, longest_first, shards_of_parts, shards_of_queries

DRIVER = DriverCosts(
    start=2.0, per_worker=0.1, per_shard=0.02, per_query=0.01, per_result=0.03, per_row=0.005, finish=0.5
)
WORKER = WorkerCosts(start=4.0, per_shard=0.2, per_query=0.1)


def equal_shards(number: int, seconds: float = 1.0) -> list[Shard]:
    return [Shard(1, seconds)] * number


def random_shards(number: int, seed: int = 0) -> list[Shard]:
    return [Shard(1, float(seconds)) for seconds in np.random.default_rng(seed).lognormal(0, 1, number)]


def test_equal_shards_without_costs_take_their_number_over_the_workers():
    assert simulate(equal_shards(12), Cluster(num_workers=4)).makespan == pytest.approx(3)
    assert simulate(equal_shards(13), Cluster(num_workers=4)).makespan == pytest.approx(4)


def test_one_worker_takes_the_sum_of_all_shards():
    shards = random_shards(50)

    run = simulate(shards, Cluster(num_workers=1))

    assert run.makespan == pytest.approx(sum(shard.work_seconds for shard in shards))
    assert account_of(run).work == pytest.approx(1)


def test_as_many_workers_as_shards_take_as_long_as_the_longest():
    shards = random_shards(50)

    run = simulate(shards, Cluster(num_workers=50))

    assert run.makespan == pytest.approx(max(shard.work_seconds for shard in shards))


def test_one_worker_with_one_shard_in_flight_pays_every_cost_in_turn():
    shards = [Shard(3, 5.0)] * 4

    run = simulate(shards, Cluster(1, shards_in_flight=1, driver=DRIVER, worker=WORKER, wire_seconds=0.25))

    start = 2.0 + 0.1 + 4.0 + 0.25
    handing_out, evaluating, taking_back = 0.02 + 3 * 0.01, 0.2 + 3 * 0.1 + 5.0, 0.03 + 3 * 0.005
    each = handing_out + 0.25 + evaluating + 0.25 + taking_back
    assert run.makespan == pytest.approx(start + 4 * each + 0.5)


def test_a_second_shard_in_flight_hides_the_wire_and_the_driver():
    shards = equal_shards(10, seconds=5.0)

    def makespan(shards_in_flight: int) -> float:
        return simulate(shards, Cluster(1, shards_in_flight, driver=DRIVER, wire_seconds=1.0)).makespan

    # With one in flight, each of the nine later shards waits for a result to return and for itself to arrive.
    assert makespan(1) - makespan(2) == pytest.approx(9 * (0.03 + 0.005 + 0.02 + 0.01 + 2 * 1.0))


def test_a_driver_that_looks_in_rounds_lets_workers_with_one_shard_wait_for_the_next():
    shards = equal_shards(9, seconds=0.25)

    one, two = (
        simulate(shards, Cluster(1, in_flight, driver=DriverCosts(round=0.1))).makespan
        for in_flight in (1, 2)
    )

    assert one == pytest.approx(9 * 0.3)
    assert two == pytest.approx(9 * 0.25 + 0.05)


def test_a_driver_slower_than_its_workers_sets_the_pace():
    shards = equal_shards(100, seconds=0.01)
    cluster = Cluster(8, driver=DriverCosts(per_shard=0.5))

    run = simulate(shards, cluster)

    assert run.makespan == pytest.approx(100 * 0.5 + 0.01)
    assert bounds_of(shards, cluster).largest == "driver"
    assert account_of(run).largest_loss == "waiting"


def test_shards_queued_behind_a_long_one_wait_for_it():
    shards = [Shard(1, 10.0), Shard(1, 1.0), Shard(1, 1.0), Shard(1, 1.0)]

    assert simulate(shards, Cluster(2, shards_in_flight=1)).makespan == pytest.approx(10)
    assert simulate(shards, Cluster(2, shards_in_flight=2)).makespan == pytest.approx(11)


def test_a_lost_worker_has_what_it_held_done_again_once():
    shards = equal_shards(6, seconds=10.0)
    cluster = Cluster(2, shards_in_flight=1, worker=WorkerCosts(start=3.0))

    # Both begin their second shard at 13; one is lost at 15, starts again until 18 and repeats that shard until 28.
    run = simulate(shards, cluster, losses=[Loss(worker=0, at_seconds=15.0)])

    assert run.num_losses == 1
    assert sorted(run.times_evaluated) == [1, 1, 1, 1, 1, 2]
    assert run.makespan == pytest.approx(38)
    shares = account_of(run)
    assert shares.lost == pytest.approx(2 / (2 * 38))
    assert shares.start == pytest.approx((3 + 3 + 3) / (2 * 38))


def test_a_shard_that_only_waited_at_a_lost_worker_is_evaluated_once():
    shards = equal_shards(4, seconds=10.0)

    run = simulate(shards, Cluster(2, shards_in_flight=2), losses=[Loss(worker=0, at_seconds=5.0)])

    assert sorted(run.times_evaluated) == [1, 1, 1, 2]


def test_a_worker_lost_while_it_starts_loses_no_shard():
    run = simulate(
        equal_shards(2), Cluster(1, worker=WorkerCosts(start=3.0)), losses=[Loss(worker=0, at_seconds=2.0)]
    )

    assert run.times_evaluated == (1, 1)
    assert run.makespan == pytest.approx(2 + 3 + 2)
    assert account_of(run).start == pytest.approx(5 / 7)
    assert account_of(run).lost == 0


def test_whatever_is_lost_every_shard_is_evaluated_and_the_shares_add_up():
    shards = random_shards(300)
    cluster = Cluster(
        8, driver=DRIVER, worker=WORKER, wire_seconds=0.1, losses_per_worker_hour=60.0, speed=2.0
    )

    for seed in range(5):
        run = simulate(shards, cluster, seed=seed)

        assert run.num_losses > 0
        assert min(run.times_evaluated) == 1
        assert sum(run.times_evaluated) - len(shards) <= run.num_losses
        assert sum(asdict(account_of(run)).values()) == pytest.approx(1)
        work = sum(shard.work_seconds for shard in shards) / 2
        assert account_of(run).work == pytest.approx(work / (8 * run.makespan))


def test_a_worker_does_one_thing_at_a_time():
    run = simulate(random_shards(100), Cluster(4, driver=DRIVER, worker=WORKER, losses_per_worker_hour=60.0))

    for spans in run.spans:
        assert all(earlier.ended <= later.began for earlier, later in pairwise(spans))


def test_the_same_seed_loses_the_same_workers():
    shards, cluster = random_shards(200), Cluster(8, worker=WORKER, losses_per_worker_hour=60.0)

    assert simulate(shards, cluster, seed=3) == simulate(shards, cluster, seed=3)
    assert simulate(shards, cluster, seed=3).makespan != simulate(shards, cluster, seed=4).makespan


@pytest.mark.parametrize("num_workers", [1, 3, 16, 100])
@pytest.mark.parametrize("shards_in_flight", [1, 2, 4])
def test_no_run_is_shorter_than_its_bounds(num_workers: int, shards_in_flight: int):
    shards = random_shards(200)
    cluster = Cluster(num_workers, shards_in_flight, driver=DRIVER, worker=WORKER)

    makespan = simulate(shards, cluster).makespan

    for bound in vars(bounds_of(shards, cluster)).values():
        assert makespan >= bound - 1e-9


def test_bounds_are_those_worked_out_by_hand():
    shards = [Shard(2, 8.0), Shard(1, 3.0)]

    bounds = bounds_of(shards, Cluster(4, driver=DRIVER, worker=WORKER, speed=2.0))

    assert bounds.work == pytest.approx(2.0 + 0.1 + 4.0 + ((0.2 + 0.2 + 4.0) + (0.2 + 0.1 + 1.5)) / 4 + 0.5)
    assert bounds.longest_shard == pytest.approx(2.0 + 0.1 + 4.0 + (0.2 + 0.2 + 4.0) + 0.5)
    assert bounds.driver == pytest.approx(2.0 + 4 * 0.1 + 2 * (0.02 + 0.03) + 3 * (0.01 + 0.005) + 0.5)


def test_handing_out_the_longest_first_leaves_a_shorter_tail():
    shards = random_shards(100)
    cluster = Cluster(10, shards_in_flight=1)

    drawn, ordered = simulate(shards, cluster), simulate(longest_first(shards), cluster)

    assert account_of(ordered).tail < account_of(drawn).tail


def test_shards_keep_all_work_and_all_queries():
    work = np.arange(1.0, 11.0)

    of_queries, of_parts = shards_of_queries(work, 4), shards_of_parts(work, 4)

    assert [shard.num_queries for shard in of_queries] == [4, 4, 2]
    assert [shard.work_seconds for shard in of_queries] == [10.0, 26.0, 19.0]
    assert len(of_parts) == 40
    assert sum(shard.work_seconds for shard in of_parts) == pytest.approx(work.sum())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cluster(0), "num_workers is 0; expected 1 or more"),
        (lambda: Cluster(1, shards_in_flight=0), "shards_in_flight is 0; expected 1 or more"),
        (lambda: Cluster(1, speed=0.0), "speed is 0.0; expected a finite number above 0"),
        (lambda: Cluster(1, wire_seconds=float("nan")), "wire_seconds is nan"),
        (
            lambda: DriverCosts(per_shard=-1.0),
            "driver per_shard is -1.0; expected a finite number, 0 or more",
        ),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_by_field_and_value(make, message: str):
    with pytest.raises(ClusterError, match=message):
        make()
