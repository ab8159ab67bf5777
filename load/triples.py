"""Triples of a dataset folder, and the bodies of requests that rank them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parents[1] / "core" / "default"
DATASET = PACKAGE / "countries"
POLICY = PACKAGE / "policy"
"""Default policy of a server; read as files, because nothing of the package is imported."""

_ATOM = re.compile(r"(?P<relation>[^(\t]+)\((?P<head>.+),(?P<tail>[^,]+)\)\s*\.?")


class TriplesError(Exception):
    """A dataset folder cannot be read."""


class Triple(NamedTuple):
    """One triple, by names."""

    head: str
    relation: str
    tail: str


def read_split(folder: Path, split: str) -> list[Triple]:
    """Returns the distinct triples of a split, in the order of its file.

    Args:
        folder: folder with a file ``train``, ``valid`` or ``test``, with any suffix.
        split: name of the split.

    Raises:
        TriplesError: there is no such file, or a line of it is no triple.
    """
    path = next((path for path in sorted(folder.glob(f"{split}*")) if path.stem == split), None)
    if path is None:
        raise TriplesError(f"{folder}: no file {split}.txt; expected a dataset folder")
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    triples = [
        _parse(line.strip(" \r"), f"{path}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("%")
    ]
    return list(dict.fromkeys(triples))


def _parse(line: str, place: str) -> Triple:
    columns = line.split("\t")
    if len(columns) == 3:
        return Triple(*(column.strip() for column in columns))
    match = _ATOM.fullmatch(line)
    if match is None:
        raise TriplesError(f"{place}: no triple in {line!r}")
    return Triple(match["head"].strip(), match["relation"].strip(), match["tail"].strip())


def rank_body(triples: Sequence[Triple], *, side: str, corruptions: int, seed: int = 0) -> dict[str, Any]:
    """Makes the body of a ``POST /rank`` that proves every candidate, so that the load is what the numbers say."""
    return {
        "queries": [triple._asdict() for triple in triples],
        "side": side,
        "corruptions": corruptions,
        "seed": seed,
        "pruning": "none",
    }
