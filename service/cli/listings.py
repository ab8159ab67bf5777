"""Plain listings of what a server has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
