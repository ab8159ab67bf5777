"""What makes two evaluations the same run, so that one may go on with the other's results."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from proofrank._version import __version__
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings

Identity = dict[str, Any]
"""Name -> value of all that the results of a run follow from, as JSON."""


def identity_of(
    parsed: argparse.Namespace, dataset: Dataset, policy: Policy, settings: ProverSettings
) -> Identity:
    """The identity of the evaluation that a command line asks for.

    Shards and workers are no part of it, for no rank depends on them; nor are engine and device, which differ in
    rounding alone (docs/semantics.md). Precision is one, for it is rounding on purpose.
    """
    return {
        "proofrank": __version__,
        "dataset": dataset.content_hash,
        "policy": policy.content_hash,
        "split": parsed.split,
        "queries": parsed.queries,
        "side": parsed.side,
        "corruptions": "all" if parsed.corruptions is None else parsed.corruptions,
        "unfiltered": parsed.unfiltered,
        "seed": parsed.seed,
        "ties": parsed.ties,
        "precision": parsed.precision,
        **dataclasses.asdict(settings),
    }


def first_difference(mine: Identity, other: Identity) -> str | None:
    """The first name whose value differs, with both values, for a message; None where all agree."""
    for name in [*mine, *(name for name in other if name not in mine)]:
        if mine.get(name) != other.get(name):
            return f"{name} is {other.get(name)!r} there and {mine.get(name)!r} here"
    return None
