"""Answers with intervals, for comparison with exact ones; and a graph whose ranking takes some seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.datasets import write_dataset

METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank", "adjusted_mean_rank_index", "positives_proved")


def assert_metrics_hold(found: Mapping[str, Any], exact: Mapping[str, Any]) -> None:
    """Every exact metric lies in its interval, overall and of each part; what is known is the exact value."""
    for name, metrics in [("all", (found, exact)), *_parts(found, exact)]:
        intervals, values = metrics
        for metric in (*METRICS, "corruptions_proved"):
            interval, value = intervals["intervals"][metric], values[metric]
            if interval is None:
                assert value is None, (name, metric)
                assert intervals[metric] is None
                continue
            low, high = interval
            if value is not None:  # what pruning leaves open is known neither here nor there
                assert low <= value <= high, (name, metric)
            assert intervals[metric] == (low if low == high else None), (name, metric)
        for count in ("rankings", "queries", "candidates"):
            assert intervals[count] == values[count], (name, count)


def assert_ranks_hold(found: list[dict[str, Any]], exact: list[dict[str, Any]]) -> None:
    """Every exact rank lies in its interval."""
    for interval, ranking in zip(found, exact, strict=True):
        assert interval["side"] == ranking["side"]
        assert interval["rank_low"] <= ranking["rank"] <= interval["rank_high"]
        assert (interval["rank_low"] == interval["rank_high"]) or interval["open"]
        assert interval["num_candidates"] == ranking["num_candidates"]
        assert interval["proved"] in (None, ranking["proved"])


def write_chain(folder: Path, length: int = 40) -> Path:
    """Writes a graph of ``length`` links, most pairs of whose constants may have a proof."""
    links = [f"p(n{index:02},n{index + 1:02})." for index in range(length)]
    rules = ("step:1:p(X,Y) -> v(X,Y)", "on:1:v(X,Z), p(Z,Y) -> v(X,Y)")
    tests = [f"v(n{index:02},n{index + 2:02})." for index in range(length - 1)]
    write_dataset(folder, links, rules, test=tests)
    return folder


def _parts(found: Mapping[str, Any], exact: Mapping[str, Any]) -> list[Any]:
    pairs = []
    for part in ("by_side", "by_relation"):
        assert list(found[part]) == list(exact[part])
        pairs += [(name, (metrics, exact[part][name])) for name, metrics in found[part].items()]
    return pairs
