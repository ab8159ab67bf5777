"""What a command cannot do without, and how to get it: the libraries of one are not those of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proofrank.core.errors import ProofrankError

CLIENT, SERVER = "client", "server"
"""Extras of the package."""

_OWN_PACKAGE = "proofrank"


@contextmanager
def require_extra(command: str, extra: str) -> Iterator[None]:
    """For imports: a library that is not there becomes an error that names the extra that brings it.

    Raises:
        ProofrankError: instead of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", _OWN_PACKAGE):
            raise
        raise ProofrankError(f"{command} needs {library}: pip install 'proofrank[{extra}]'") from error
