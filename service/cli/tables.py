"""The table of metrics that commands print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table

from proofrank.core.errors import counted

_TABLE_WIDTH = 110


class Metrics(Protocol):
    """What the metrics of the package and of its torchless client have in common; ``core.ranking`` defines each."""

    @property
    def mrr(self) -> float: ...
    @property
    def hits_at(self) -> Mapping[int, float]: ...
    @property
    def mean_rank(self) -> float: ...
    @property
    def adjusted_mean_rank_index(self) -> float | None: ...
    @property
    def positives_proved(self) -> float: ...
    @property
    def corruptions_proved(self) -> float | None: ...
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


def print_metrics(metrics: Report, title: str) -> None:
    """Prints the metrics overall, per side and per relation, a row each."""
    # A narrow terminal wraps whole lines, which reads better than cells cut short.
    Console(width=max(Console().width, _TABLE_WIDTH)).print(_metrics_table(metrics, title))


def _metrics_table(metrics: Report, title: str) -> Table:
    """The metrics overall, per side and per relation, a row each."""
    overall = metrics.overall
    caption = (
        f"{counted(overall.queries, 'query', 'queries')}, {counted(overall.candidates, 'candidate')}, "
        f"{overall.seconds:.2f} s"
    )
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("")
    for column in (
        "MRR", "Hits@1", "Hits@3", "Hits@10", "mean rank", "AMRI", "proved", "false proofs", "queries",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for name, row in [("all", overall), *metrics.by_side.items()]:
        table.add_row(name, *_cells(row))
    table.add_section()
    for name, row in metrics.by_relation.items():
        table.add_row(name, *_cells(row))
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
