"""The input of the simulation, and the figures that it gives."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("simpy", reason="the simulation needs simpy: pip install 'proofrank[simulation]'")

from benchmarks.ray_simulation import FIGURES, Order, Plan, figures_of, shard_size
from benchmarks.simulation.cluster import Cluster, ClusterError, DriverCosts, WorkerCosts, load_costs
from benchmarks.simulation.work import MeasuredWork, QueryWork, WorkError, load_work

COMMITTED_WORK = FIGURES / "query-work-wn18rr.json"
COMMITTED_COSTS = FIGURES / "ray-costs.json"


def query(
    milliseconds: float, side: str = "head", num_candidates: int = 100, relation: str = "r"
) -> QueryWork:
    """Makes a query whose candidates take ``milliseconds`` each; there are 1,000 of them."""
    return QueryWork(relation, side, num_candidates, 1000, 0, 0, milliseconds * num_candidates / 1e3)


def test_work_of_a_triple_is_that_of_both_its_sides_extended_to_all_candidates():
    work = MeasuredWork(4, (query(1.0), query(3.0, "tail"), query(2.0), query(2.5, "tail")), ())

    assert work.num_triples == 2
    np.testing.assert_allclose(work.triple_seconds(), [4.0, 4.5])


def test_what_candidates_cost_less_in_whole_queries_is_taken_off_all():
    sampled = (query(1.0), query(1.0, "tail"), query(10.0), query(10.0, "tail"))
    # The first stands for cheap queries, at half its sampled cost, the second for expensive ones, at nine tenths.
    whole = (query(0.5, num_candidates=1000), query(9.0, num_candidates=1000))

    np.testing.assert_allclose(MeasuredWork(4, sampled, whole).whole_seconds(), [0.5, 0.5, 9.0, 9.0])


def test_a_cost_between_two_whole_queries_is_corrected_by_a_ratio_between_theirs():
    sampled = (query(1.0), query(1.0, "tail"), query(10**0.5), query(10.0), query(10.0), query(10.0, "tail"))
    whole = (query(0.5, num_candidates=1000), query(9.0, num_candidates=1000))

    assert MeasuredWork(6, sampled, whole).whole_seconds()[2] == pytest.approx(10**0.5 * 0.7)


def test_draws_are_of_the_sample_and_of_the_seed():
    work = MeasuredWork(4, (query(1.0), query(3.0, "tail"), query(2.0), query(2.5, "tail")), ())

    assert set(work.draw_triples(100, seed=1)) == {0, 1}
    np.testing.assert_array_equal(work.draw_triples(100, seed=1), work.draw_triples(100, seed=1))
    assert (work.draw_triples(100, seed=1) != work.draw_triples(100, seed=2)).any()


def test_an_order_by_relation_is_by_its_mean_and_that_of_the_longest_by_each_triple():
    milliseconds = [("short", 1.0), ("long", 3.0), ("short", 9.0), ("long", 8.0)]
    both_sides = [
        query(each / 2, side, relation=relation)
        for relation, each in milliseconds
        for side in ("head", "tail")
    ]
    work = MeasuredWork(8, tuple(both_sides), ())
    plan = Plan(Cluster(1), Fraction(1))

    drawn, by_relation, longest = (
        [shard.work_seconds for shard in replace(plan, order=order).shards(work, seed=0)] for order in Order
    )

    places = list(work.draw_triples(4, seed=0))
    in_order = [place for place in places if place % 2 == 1] + [place for place in places if place % 2 == 0]
    seconds = work.triple_seconds()
    assert in_order not in (places, sorted(places, key=lambda place: -seconds[place]))
    np.testing.assert_allclose(work.relation_seconds(), [5.0, 5.5, 5.0, 5.5])
    np.testing.assert_array_equal(drawn, seconds[places])
    np.testing.assert_array_equal(by_relation, seconds[in_order])
    np.testing.assert_array_equal(longest, sorted(drawn, reverse=True))


@pytest.mark.parametrize(
    "content", ["", "{}", '{"work": {"num_queries": 2, "queries": [{"relation": "r"}], "whole": []}}']
)
def test_a_file_that_is_no_measurement_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "work.json"
    path.write_text(content)

    with pytest.raises(
        WorkError, match=r"work\.json.*expected a file that python -m benchmarks\.query_work wrote"
    ):
        load_work(path)


def test_costs_that_the_model_does_not_know_are_refused(tmp_path: Path):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"driver": {"per_shard": 0.1, "per_moon": 1.0}, "worker": {}}))

    with pytest.raises(ClusterError, match="per_moon"):
        load_costs(path)


def test_committed_measurements_stand_for_all_of_the_test_split():
    work = load_work(COMMITTED_WORK)

    assert work.num_triples == 2924
    sides = [query.side for query in work.queries]
    assert sides == ["head", "tail"] * (len(sides) // 2)
    driver, worker = load_costs(COMMITTED_COSTS)
    assert driver.per_shard > 0
    assert worker.start > 0


def test_figures_of_equal_triples_are_those_worked_out_by_hand():
    work = MeasuredWork(200, (query(0.5), query(0.5, "tail")), ())
    cluster = Cluster(10, driver=DriverCosts(start=1.0, finish=0.5), worker=WorkerCosts(start=2.0))

    figures = figures_of(Plan(cluster, Fraction(1)), work, range(3))

    # 100 triples of one second on ten workers.
    assert figures["shards"] == 100
    assert figures["seconds"] == pytest.approx(1 + 2 + 10 + 0.5)
    assert figures["work %"] == pytest.approx(100 * 10 / 13.5)
    assert figures["start %"] == pytest.approx(100 * 3 / 13.5)
    assert figures["finish %"] == pytest.approx(100 * 0.5 / 13.5)
    assert figures["bound by"] == "work"
    assert figures["largest loss"] == "start"
    assert figures["over its bound %"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("text", "size"), [("16", Fraction(16)), ("1", Fraction(1)), ("1/16", Fraction(1, 16))]
)
def test_a_shard_is_whole_triples_or_a_part_of_one(text: str, size: Fraction):
    assert shard_size(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "3/2", "2/3", "1/0", "many"])
def test_any_other_size_of_a_shard_is_refused(text: str):
    with pytest.raises(
        argparse.ArgumentTypeError, match="expected a whole number such as 16 or a part such as 1/16"
    ):
        shard_size(text)
