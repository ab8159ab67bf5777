"""The interval of one evaluation's mean, from sums over its queries."""

from __future__ import annotations

import numpy as np
import pytest

from proofrank.core.comparison.single import QuerySums, interval_of_mean


def sums_of(queries: list[list[float]]) -> QuerySums:
    """The sums of queries with these values, one for each ranking."""
    values = [sum(query) for query in queries]
    sizes = [len(query) for query in queries]
    return QuerySums(
        len(queries),
        sum(values),
        sum(sizes),
        sum(value * value for value in values),
        sum(value * size for value, size in zip(values, sizes, strict=True)),
        sum(size * size for size in sizes),
    )


def test_a_single_query_tells_nothing_of_others() -> None:
    assert interval_of_mean(sums_of([[1.0, 0.5]]), 0.95) is None


def test_queries_with_one_ranking_have_the_interval_of_students_distribution() -> None:
    values = np.array([1.0, 0.5, 0.25, 1.0, 0.2])
    # The quantile of Student's distribution with four degrees of freedom, from a table.
    margin = 2.776 * values.std(ddof=1) / np.sqrt(5)
    low, high = interval_of_mean(sums_of([[value] for value in values.tolist()]), 0.95) or (0, 0)
    assert low == pytest.approx(max(values.mean() - margin, 0), abs=1e-3)
    assert high == pytest.approx(min(values.mean() + margin, 1), abs=1e-3)


def test_two_sides_that_agree_count_as_one_draw() -> None:
    once = [[0.1], [0.9], [0.5], [0.3]]
    twice = [[value, value] for [value] in once]
    assert interval_of_mean(sums_of(twice), 0.95) == pytest.approx(interval_of_mean(sums_of(once), 0.95))


def test_it_holds_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    holds = 0
    for _ in range(400):
        of_query = generator.uniform(0, 0.6, size=60)
        queries = [[value, value + generator.uniform(0, 0.4)] for value in of_query.tolist()]
        low, high = interval_of_mean(sums_of(queries), 0.95) or (0, 0)
        holds += low <= 0.4 <= high
    assert 0.92 <= holds / 400 <= 0.98
