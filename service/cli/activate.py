"""``proofrank activate``: make a policy of a server the one that ranks from now on."""

from __future__ import annotations

import argparse

from proofrank.service.cli.listings import print_rows
from proofrank.service.cli.policies import COLUMNS, policy_row
from proofrank.service.cli.server_options import add_server, make_client


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument("name", metavar="NAME", help="of the policy")
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    with make_client(parsed) as client:
        print_rows(COLUMNS, [policy_row(client.activate(parsed.name))])
    return 0
