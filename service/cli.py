"""The ``proofrank`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from core import __version__
from core.errors import ProofrankError
from service.commands import compilation, diff, evaluate, key, rank, replay, serve

COMMANDS = (evaluate, rank, replay, diff, compilation, serve, key)
EXIT_USAGE = 2


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has the command as ``run``."""
    parser = argparse.ArgumentParser(
        prog="proofrank", description="Exact ranks, MRR and proofs for neural-guided knowledge-graph provers."
    )
    parser.add_argument("--version", action="version", version=f"proofrank {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status.

    Args:
        arguments: the command line without the program's name; that of the process by default.
    """
    parsed = make_parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except ProofrankError as error:
        print(f"proofrank: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
