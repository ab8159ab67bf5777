"""The figures of a load run: percentiles, shares and rates of its answers; and the triples that it asks for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from load.summary import Objective
from load.tally import Answer, Quantiles, Tally
from load.triples import Triple, TriplesError, read_split

HUNDRED = [number / 1000 for number in range(1, 101)]
"""Times of 1 to 100 milliseconds."""


def tally_of(*statuses: int) -> Tally:
    """Makes answers that end one second apart and take a tenth of a second each."""
    return Tally([Answer("rank", status, 0.1, float(index)) for index, status in enumerate(statuses)])


def test_a_percentile_is_the_smallest_time_that_so_many_percent_do_not_exceed() -> None:
    assert Quantiles.of(reversed(HUNDRED)) == Quantiles(0.050, 0.095, 0.099)
    assert Quantiles.of([0.2]) == Quantiles(0.2, 0.2, 0.2)
    assert math.isnan(Quantiles.of([]).p95)


def test_refusals_are_no_errors_and_their_times_count_by_themselves() -> None:
    tally = Tally([Answer("rank", 200, 1.0, 1.0), Answer("rank", 429, 0.1, 1.0), Answer("rank", 0, 9.0, 9.0)])

    assert tally.error_share == pytest.approx(1 / 3)
    assert tally.quantiles.p99 == 1.0
    assert tally.refusal_quantiles.p99 == 0.1
    assert tally.statuses == {"no answer": 1, "200": 1, "429": 1}


@pytest.mark.parametrize(
    ("objective", "is_met"),
    [
        (Objective(), True),
        (Objective(most_p95_ms=100), True),
        (Objective(most_p95_ms=99), False),
        (Objective(most_errors=0.25), True),
        (Objective(most_errors=0.2), False),
        (Objective(most_refusals=0.25), True),
        (Objective(most_refusals=0.2), False),
        (Objective(least_rate=0.64), True),
        (Objective(least_rate=0.65), False),
    ],
)
def test_an_objective_is_met_up_to_its_bound(objective: Objective, is_met: bool) -> None:
    tally = tally_of(200, 200, 429, 500)  # two answered in 3.1 s

    assert (objective.misses(tally, tally) == []) == is_met


def test_a_run_without_an_answer_misses_any_objective() -> None:
    tally = tally_of(429, 500)

    assert Objective().misses(tally, tally) == ["no single query was answered"]


def test_both_forms_of_triples_are_read_once_each(tmp_path: Path) -> None:
    text = "% a comment\nparent(anna,ben).\nanna\tparent\tben\n\nlikes(a(1),/m/0,b).\n"
    (tmp_path / "test.txt").write_text(text, encoding="utf-8")

    assert read_split(tmp_path, "test") == [
        Triple("anna", "parent", "ben"),
        Triple("a(1),/m/0", "likes", "b"),
    ]


def test_a_line_that_is_no_triple_is_named(tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text("parent(anna,ben).\nnonsense\n", encoding="utf-8")

    with pytest.raises(TriplesError, match=r"valid\.txt:2: no triple in 'nonsense'"):
        read_split(tmp_path, "valid")
    with pytest.raises(TriplesError, match=r"no file test\.txt"):
        read_split(tmp_path, "test")
