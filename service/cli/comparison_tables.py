"""A comparison as tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrank.service.cli.comparison_rows import (
    CHANGES_HEADER,
    HEADER,
    LEGEND,
    change_cells,
    evaluations,
    metric_rows,
    title,
    verdict,
)
from proofrank.service.wire import Comparison

_TABLE_WIDTH = 130


def print_comparison(comparison: Comparison, num_changes: int) -> None:
    """Prints what is compared, the metrics, and the first ``num_changes`` rankings that changed."""
    # A narrow terminal wraps whole lines, which reads better than cells cut short.
    console = Console(width=max(Console().width, _TABLE_WIDTH), highlight=False, markup=False)
    for line in evaluations(comparison):
        console.print(line, soft_wrap=True)
    console.print(_metrics(comparison))
    if comparison.changed and num_changes > 0:
        console.print(_changes(comparison, num_changes))
    console.print(verdict(comparison), soft_wrap=True)


def _table(name: str, caption: str) -> Table:
    return Table(
        title=Text(name),
        caption=Text(caption),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )


def _metrics(comparison: Comparison) -> Table:
    table = _table(title(comparison), LEGEND)
    for number, column in enumerate(HEADER):
        table.add_column(column, justify="right" if number else "left", no_wrap=number > 0)
    section = "all"
    for row in metric_rows(comparison):
        if row.section != section:
            table.add_section()
            section = row.section
        # As texts: a name may hold what rich takes for markup.
        table.add_row(*map(Text, row.cells))
    return table


def _changes(comparison: Comparison, num_changes: int) -> Table:
    shown = comparison.changed[:num_changes]
    table = _table(
        "changed ranks, the worst loss first", f"{len(shown)} of {len(comparison.changed)} changed rankings"
    )
    for number, column in enumerate(CHANGES_HEADER):
        table.add_column(column, justify="right" if 2 <= number <= 4 else "left")
    for change in shown:
        table.add_row(*map(Text, change_cells(change)))
    return table
