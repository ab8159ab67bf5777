"""``proofrank upload``: store a policy in a server, perhaps as a step of a training run."""

from __future__ import annotations

import argparse
from pathlib import Path

from proofrank.service.cli.listings import print_rows
from proofrank.service.cli.policies import COLUMNS, policy_row
from proofrank.service.cli.server_options import add_server, make_client


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = __doc__
    parser.add_argument("name", metavar="NAME", help="of the policy, in place of what has that name")
    parser.add_argument("folder", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument("--activate", action="store_true", help="rank with it from now on")
    parser.add_argument(
        "--run", dest="training_run", metavar="RUN", help="training run that it belongs to; needs --step"
    )
    parser.add_argument("--step", type=int, metavar="N", help="its step of the run")
    parser.add_argument(
        "--label",
        type=_label,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="to keep beside; may be repeated",
    )
    add_server(parser)


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    with make_client(parsed) as client:
        uploaded = client.upload_policy(
            parsed.name,
            parsed.folder,
            activate=parsed.activate,
            run=parsed.training_run,
            step=parsed.step,
            labels=dict(parsed.label),
        )
    print_rows(COLUMNS, [policy_row(uploaded)])
    return 0


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=TEXT, such as lr=0.001")
    return name, value
