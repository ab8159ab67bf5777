"""``proofrank export``: write the results of a server's job to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from proofrank.service.cli.server_options import add_server, make_client


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument("job", metavar="JOB", help="id of the job")
    parser.add_argument(
        "out",
        type=Path,
        metavar="FILE",
        help="FILE.json, which proofrank compare reads, FILE.csv or FILE.parquet",
    )
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    with make_client(parsed) as client:
        written = client.export(parsed.job, parsed.out)
    text = f"{written}: {written.stat().st_size} bytes"
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text)
    return 0
