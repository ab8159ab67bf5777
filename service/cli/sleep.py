"""``proofrank sleep``: have a server free the memory of its evaluators until it is woken."""

from __future__ import annotations

import argparse
import sys

from proofrank.service.cli.server_options import add_server, make_client


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    with make_client(parsed) as client:
        sys.stdout.write(f"{client.sleep().stage}\n")
    return 0
