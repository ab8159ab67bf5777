"""The bar that shows how far a long piece of work has come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from proofrank.core.ranking import RefinementProgress


@contextmanager
def progress_bar(console: Console, description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on ``console``; yields a function that is told the number done so far."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def interval_bar(console: Console, tolerance: float) -> Iterator[Callable[[RefinementProgress], None]]:
    """A bar on ``console`` that shows an interval of the MRR; yields a function that is told how far it has come.

    The bar is full when the interval is as narrow as ``tolerance`` asks for. Its place is that of the width on a
    logarithmic scale, or with a tolerance of 0 that of the candidates.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[open]:,} open"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("MRR 0 to 1", total=1.0, open=0)

        def on_progress(told: RefinementProgress) -> None:
            progress.update(
                task,
                completed=_share_done(told, tolerance),
                description=f"MRR {told.mrr.low:.4f} to {told.mrr.high:.4f}",
                open=told.num_candidates - told.num_decided,
            )

        yield on_progress


def _share_done(told: RefinementProgress, tolerance: float) -> float:
    """How far the work has come, from 0 to 1."""
    if told.mrr.half_width <= tolerance:
        return 1.0
    if not 0 < tolerance < 0.5:  # where a logarithm says nothing
        return told.num_decided / told.num_candidates
    return math.log(2 * told.mrr.half_width) / math.log(2 * tolerance)
