"""Reads ``domain2constants.txt``: a line per domain, its name and then its constants, separated by blanks.

The corruptions of a triple replace a constant by others of its domain, so that a country is not replaced by a
region. A constant of several domains may be replaced by any constant of any of them.
"""

from __future__ import annotations

from pathlib import Path

from proofrank.core.errors import DatasetError
from proofrank.core.formats.text import read_lines


def read_domains(path: Path) -> dict[str, tuple[str, ...]]:
    """Reads domain name -> names of its constants. A tab in a line separates by tabs instead of blanks.

    Raises:
        DatasetError: a domain comes twice, or has no constant; names path, line number and line.
    """
    domains: dict[str, tuple[str, ...]] = {}
    for line in read_lines(path):
        separator = "\t" if "\t" in line.text else None
        names = [name.strip() for name in line.text.split(separator) if name.strip()]
        domain, constants = names[0], tuple(names[1:])
        if not constants:
            raise line.error(f"domain {domain!r} without a constant", "'domain constant constant …'")
        if domain in domains:
            raise line.error(f"domain {domain!r} for the second time", "each domain on one line")
        domains[domain] = constants
    if not domains:
        raise DatasetError(f"{path}: no domain in this file; expected 'domain constant constant …' a line")
    return domains
