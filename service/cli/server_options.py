"""The options of commands that talk to a server, and the client that they make."""

from __future__ import annotations

import argparse
from pathlib import Path

from proofrank.core.errors import ProofrankError
from proofrank.service.cli.ranking_options import positive
from proofrank.service.client import DEFAULT_URL, Client, Retries

_PATIENCE_SECONDS = 30


def add_server(parser: argparse.ArgumentParser) -> None:
    """Adds ``--url`` and what goes with it."""
    group = parser.add_argument_group("server")
    group.add_argument("--url", default=DEFAULT_URL, help=f"of the server (default: {DEFAULT_URL})")
    add_access(group)


def add_access(group: argparse._ArgumentGroup) -> None:
    """Adds ``--api-key-file`` and ``--patience``."""
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="file with the API key (default: PROOFRANK_API_KEY in the environment)",
    )
    group.add_argument(
        "--patience",
        type=positive,
        default=_PATIENCE_SECONDS,
        metavar="SECONDS",
        help="go on so long where the server cannot be reached or takes no requests (default: "
        f"{_PATIENCE_SECONDS})",
    )


def make_client(parsed: argparse.Namespace, url: str | None = None) -> Client:
    """The client that the options ask for.

    Args:
        parsed: has the options of :func:`add_server` or :func:`add_access`.
        url: address of the server; that of ``--url`` if None.

    Raises:
        ProofrankError: the file of the key cannot be read, or the address or the key cannot be one.
    """
    key = None
    if parsed.api_key_file is not None:
        try:
            key = parsed.api_key_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it holds letters beyond ASCII"
            raise ProofrankError(f"--api-key-file {parsed.api_key_file}: cannot be read: {reason}") from error
    return Client(
        parsed.url if url is None else url, api_key=key, retries=Retries(total_seconds=parsed.patience)
    )
