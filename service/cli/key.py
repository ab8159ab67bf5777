"""``proofrank key``: make an API key and the lines of the settings file that let it in."""

from __future__ import annotations

import argparse
import json
import re
import sys

from proofrank.core.errors import ProofrankError
from proofrank.service.settings.api_keys import NAME_PATTERN, RIGHTS, hash_of, make_key


def set_up(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of the command its options."""
    parser.description = (
        "Prints a new API key to standard error, once, and to standard output the lines of the settings "
        "file that let it in. They hold its hash: a key that is lost is replaced, not found again."
    )
    parser.add_argument("--name", required=True, help="what the log calls the key")
    parser.add_argument(
        "--right",
        dest="rights",
        action="append",
        choices=RIGHTS,
        help="what it is good for: rank (the default) or policies, to change them; may be repeated",
    )


def run(parsed: argparse.Namespace) -> int:
    """Runs the command."""
    if not re.fullmatch(NAME_PATTERN, parsed.name):
        raise ProofrankError(
            f"--name is {parsed.name!r}; expected 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit"
        )
    rights = list(dict.fromkeys(parsed.rights or ["rank"]))
    key = make_key()
    print(f"The key, shown this once: {key}", file=sys.stderr)  # noqa: T201 - this is the command line
    print(  # noqa: T201
        f'\n[[api_keys]]\nname = "{parsed.name}"\nsha256 = "{hash_of(key.encode())}"\nrights = {json.dumps(rights)}'
    )
    return 0
