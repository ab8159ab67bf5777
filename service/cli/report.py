"""``proofrank report``: write the page about some jobs of a server as a folder that opens from disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.text import Text

from proofrank.service.cli.ranking_options import not_negative
from proofrank.service.cli.server_options import add_server, make_client
from proofrank.service.page.report import MOST_JOBS, write_report

_QUERIES = 10


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument(
        "jobs", nargs="+", metavar="JOB", help=f"ids of jobs that are done, up to {MOST_JOBS}"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder to write; open its index.html"
    )
    parser.add_argument(
        "--queries",
        type=not_negative,
        default=_QUERIES,
        metavar="N",
        help="keep the proofs of the N rankings that changed most from one job to the next, and of the N worst of the "
        f"last job (default: {_QUERIES})",
    )
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with make_client(parsed) as client, console.status("") as status:
        written = write_report(
            client,
            parsed.jobs,
            parsed.out,
            num_explained=parsed.queries,
            on_progress=lambda text: status.update(Text(text)),
        )
    console.print(
        f"{written.path}: {written.rankings} rankings, {written.comparisons} comparisons, proofs of "
        f"{written.explained} rankings, {written.bytes / 1e6:.1f} MB"
    )
    for warning in written.warnings:
        console.print(f"warning: {warning}")
    if written.unexplained:
        console.print(
            f"{written.unexplained} rankings have no proofs: the server no longer has the policies, or now has lower "
            "limits; give each step a policy name of its own to keep it"
        )
    return 0
