"""Plain listings of what a server has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrank.service.wire import Interval, IntervalMetrics, Metrics

_WIDEST = 10_000


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table; lines are as long as they must be, for other programs to read."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in header:
        table.add_column(column, no_wrap=True, overflow="ignore")
    num_rows = 0
    for row in rows:
        # As texts: a name may hold what rich takes for markup.
        table.add_row(*map(Text, row))
        num_rows += 1
    width = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(Console().width, width)).print(table if num_rows else Text("none"))


def time_text(time: datetime | None) -> str:
    """A time to the second, in UTC; nothing for none."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def mrr_text(metrics: Metrics | None, intervals: IntervalMetrics | None) -> str:
    """The MRR; the middle of its interval, and how far off that is at most, where it is not known; nothing for none."""
    if metrics is not None:
        return f"{metrics.mrr:.4f}"
    return "" if intervals is None else _interval_text(intervals.mrr_ends, 4)


def share_text(name: str, metrics: Metrics | None, intervals: IntervalMetrics | None) -> str:
    """A share of ranks such as ``hits@10``, in the form of :func:`mrr_text`."""
    if metrics is not None:
        return f"{metrics.hits_at[int(name.removeprefix('hits@'))]:.3f}"
    interval = None if intervals is None else intervals.intervals[name]
    return "" if interval is None else _interval_text(interval, 3)


def _interval_text(interval: Interval, digits: int) -> str:
    if interval.low == interval.high:
        return f"{interval.low:.{digits}f}"
    # Rounded up, and further by what rounding the middle may take it off.
    off = math.ceil((interval.high - interval.middle) * 10**digits + 0.5) / 10**digits
    return f"{interval.middle:.{digits}f} ±{off:.{digits}f}"
