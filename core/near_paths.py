"""What a message says of a path that is not there: the paths beside it that are near."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from proofrank.core.errors import did_you_mean, nearest_names

_MOST_ENTRIES = 10_000
"""Number of entries of a folder that are looked at."""


def near_path(path: Path) -> str:
    """The end of a message that a path does not exist, with the nearest paths in the same folder; often nothing."""
    near = nearest_names(path.name, entries(path.parent))
    return did_you_mean([str(path.parent / name) for name in near])


def entries(folder: Path) -> Iterable[str]:
    """The names in a folder in their order, those of hidden files left out; none where it cannot be read."""
    try:
        names = [entry.name for entry in islice(folder.iterdir(), _MOST_ENTRIES)]
    except OSError:
        return ()
    return sorted(name for name in names if not name.startswith("."))
