"""The table of metrics that commands print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.errors import counted
from proofrank.core.metric_names import MetricValues

_TABLE_WIDTH = 110
_INTERVAL_TABLE_WIDTH = 150


class Metrics(MetricValues[float], Protocol):
    """What the metrics of the package and of its torchless client have in common; ``core.ranking`` defines each."""

    @property
    def queries(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Report(Protocol):
    """Metrics overall, per side and per relation (by name)."""

    @property
    def overall(self) -> Metrics: ...
    @property
    def by_side(self) -> Mapping[str, Metrics]: ...
    @property
    def by_relation(self) -> Mapping[str, Metrics]: ...


def pruning_line(evaluated: int, unprovable: int, fallen_behind: int) -> str:
    """How many candidates took which way."""
    return (
        f"pruning: {evaluated} of {counted(evaluated + unprovable + fallen_behind, 'candidate')} took their course, "
        f"{unprovable} without a proof, {fallen_behind} ended early"
    )


class Interval(Protocol):
    """A number that is at least ``low`` and at most ``high``."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Intervals(Protocol):
    """What a row of intervals shows; ``core.ranking.intervals`` defines each."""

    @property
    def by_name(self) -> Mapping[str, Interval | None]: ...
    @property
    def queries(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def open(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class IntervalReport(Protocol):
    """Intervals overall, per side, per relation and per depth (by name)."""

    @property
    def overall(self) -> Intervals: ...
    @property
    def by_side(self) -> Mapping[str, Intervals]: ...
    @property
    def by_relation(self) -> Mapping[str, Intervals]: ...
    @property
    def by_depth(self) -> Mapping[str, Intervals]: ...


def print_metrics(metrics: Report, title: str, by_depth: Mapping[str, Metrics] | None = None) -> None:
    """Prints the metrics overall, per side, per relation and, if they are given, per depth, a row each."""
    # A narrow terminal wraps whole lines, which reads better than cells cut short.
    Console(width=max(Console().width, _TABLE_WIDTH)).print(_metrics_table(metrics, title, by_depth or {}))


def print_intervals(intervals: IntervalReport, title: str) -> None:
    """Prints the intervals of the metrics overall, per side, per relation and per depth, a row each; one number where
    a metric is known.
    """
    overall = intervals.overall
    caption = (
        f"{counted(overall.queries, 'query', 'queries')}, {counted(overall.candidates, 'candidate')}, "
        f"{overall.open} open, "
        f"{overall.seconds:.2f} s"
    )
    hits = [name for name in overall.by_name if name.startswith("hits@")]
    table = _empty_table(title, caption, [name.removeprefix("hits@") for name in hits])
    for name, row in [("all", overall), *intervals.by_side.items()]:
        table.add_row(name, *_interval_cells(row))
    for groups in (intervals.by_relation, intervals.by_depth):
        table.add_section()
        for name, row in groups.items():
            label = f"depth {name}" if groups is intervals.by_depth and name.isdecimal() else name
            table.add_row(label, *_interval_cells(row))
    Console(width=max(Console().width, _INTERVAL_TABLE_WIDTH)).print(table)


class RankInterval(Protocol):
    """Where the rank of a query on one side lies."""

    @property
    def side(self) -> str: ...
    @property
    def rank_low(self) -> float: ...
    @property
    def rank_high(self) -> float: ...
    @property
    def num_candidates(self) -> int: ...
    @property
    def open(self) -> int: ...
    @property
    def proved(self) -> bool | None: ...


def print_rank_intervals(rankings: Sequence[RankInterval], title: str) -> None:
    """Prints where the ranks of a query lie, a row for each side."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("side", "rank", "candidates", "open", "proved"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for ranking in rankings:
        is_known = ranking.rank_low == ranking.rank_high
        table.add_row(
            ranking.side,
            f"{ranking.rank_low:g}" if is_known else f"{ranking.rank_low:g}-{ranking.rank_high:g}",
            str(ranking.num_candidates),
            str(ranking.open),
            {True: "yes", False: "no", None: "not tried"}[ranking.proved],
        )
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


def _interval_cells(row: Intervals) -> list[str]:
    def cell(name: str, interval: Interval | None) -> str:
        if interval is None:
            return "-"
        digits = {"mrr": 4, "mean_rank": 2}.get(name, 3)
        low, high = _down(interval.low, digits), _up(interval.high, digits)
        if interval.low == interval.high:
            return f"{interval.low:.{digits}f}"
        return f"{low:.{digits}f}-{high:.{digits}f}"

    return [*(cell(name, interval) for name, interval in row.by_name.items()), str(row.queries)]


def _down(value: float, digits: int) -> float:
    return math.floor(value * 10**digits) / 10**digits


def _up(value: float, digits: int) -> float:
    return math.ceil(value * 10**digits) / 10**digits


def _empty_table(title: str, caption: str, ks: Iterable[int | str]) -> Table:
    """A table with the columns of metrics, Hits@k for each of ``ks``, and no row."""
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("")
    for column in (
        "MRR", *(f"Hits@{k}" for k in ks), "mean rank", "AMRI", "proved", "false proofs", "queries",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    return table


def _metrics_table(metrics: Report, title: str, by_depth: Mapping[str, Metrics]) -> Table:
    """The metrics overall, per side, per relation and per depth, a row each."""
    overall = metrics.overall
    caption = (
        f"{counted(overall.queries, 'query', 'queries')}, {counted(overall.candidates, 'candidate')}, "
        f"{overall.seconds:.2f} s"
    )
    table = _empty_table(title, caption, overall.hits_at)
    for name, row in [("all", overall), *metrics.by_side.items()]:
        table.add_row(name, *_cells(row))
    table.add_section()
    for name, row in metrics.by_relation.items():
        table.add_row(name, *_cells(row))
    table.add_section()
    for name, row in by_depth.items():
        table.add_row(f"depth {name}" if name.isdecimal() else name, *_cells(row))
    return table


def _cells(row: Metrics) -> list[str]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    return [
        f"{row.mrr:.4f}",
        *(share(value) for value in row.hits_at.values()),
        f"{row.mean_rank:.2f}",
        share(row.adjusted_mean_rank_index),
        share(row.positives_proved),
        share(row.corruptions_proved),
        str(row.queries),
    ]


def listed(values: Mapping[str, Any]) -> str:
    """Returns facts by name in one line, as in ``l2_norm true, temperature none``; ``nothing`` if there are none."""
    shown = {True: "true", False: "false", None: "none"}
    parts = (
        f"{name} {shown[value] if value is None or isinstance(value, bool) else value}"
        for name, value in values.items()
    )
    return ", ".join(parts) or "nothing"
