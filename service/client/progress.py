"""A job's progress as a bar on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proofrank.service.wire import Job


@contextmanager
def job_bar(job: Job, is_shown: bool) -> Iterator[Callable[[Job], None]]:
    """A bar on standard error; yields a function that is told the job as it goes on.

    Nothing is shown where that is no terminal, or where rich is not installed.
    """
    if not (is_shown and sys.stderr.isatty()):
        yield lambda now: None
        return
    try:
        from rich.console import Console

        from proofrank.service.terminal.progress import progress_bar
    except ImportError:
        yield lambda now: None
        return
    with progress_bar(Console(stderr=True), "queries", job.progress.queries) as show:
        yield lambda now: show(now.progress.queries_done)
