"""The identity of a run: two evaluations with the same identity may continue each other's results."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from proofrank._version import __version__
from proofrank.core.choices import PruningLevel
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.protocol_rules import WITHOUT_PROTOCOL
from proofrank.core.prover import ProverSettings
from proofrank.core.ranking import Scoring

Identity = dict[str, Any]
"""Name -> value of everything that the results of a run depend on, as JSON."""


def identity_of(
    parsed: argparse.Namespace,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    level: PruningLevel,
    protocol: Mapping[str, Any],
    scoring: Scoring | None = None,
) -> Identity:
    """Returns the identity of the evaluation that a command line asks for.

    Shards and workers are left out, because no rank depends on them. So are engine and device, which differ only in
    rounding (docs/semantics.md). The precision is included, because it changes the rounding on purpose. The pruning
    is included where it leaves numbers of proved corruptions open; else the rows are the same. A beam is included where
    there is one. Of ``protocol``, what :class:`proofrank.core.comparison.Protocol` has beside the options, what was
    chosen is included. So are embedding and weights, but for scores of proofs.
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
        **({"pruning": level} if level == "ranks" else {}),
        **({"beam": parsed.beam, "beam_score": parsed.beam_score} if parsed.beam > 1 else {}),
        **_chosen(protocol),
        **({} if scoring is None else _of_scoring(scoring)),
        **dataclasses.asdict(settings),
    }


def _chosen(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The name of the protocol and the sources of candidates, as far as they were chosen."""
    chosen = {"protocol": protocol["name"], "negatives": protocol["negatives"]}
    if protocol["candidates_from"] != WITHOUT_PROTOCOL.candidates_from:
        chosen["candidates_from"] = protocol["candidates_from"]
    return {name: value for name, value in chosen.items() if value is not None}


def _of_scoring(scoring: Scoring) -> dict[str, Any]:
    """What the scores are."""
    weights = {"hybrid": scoring.hybrid.to_dict()} if scoring.kind == "hybrid" else {}
    return {"scoring": scoring.kind, "embedding": scoring.source.content_hash, **weights}


def first_difference(mine: Identity, other: Identity) -> str | None:
    """Returns a text for the first name whose value differs, with both values; None if all agree."""
    for name in [*mine, *(name for name in other if name not in mine)]:
        if mine.get(name) != other.get(name):
            return f"{name} is {other.get(name)!r} there and {mine.get(name)!r} here"
    return None
