"""Name and content of what an evaluation used."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """Name and content of a dataset, a policy or an embedding.

    Attributes:
        name: its name.
        sha256: hash of its content, in hexadecimal.
    """

    name: str
    sha256: str
