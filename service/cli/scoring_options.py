"""The options that say what a candidate's score is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from proofrank.core.choices import SCORINGS, ScoringKind, WeightsFrom
from proofrank.core.errors import ProofrankError
from proofrank.core.hybrid import Hybrid, HybridWeights, read_hybrid
from proofrank.service.cli.bulk_options import RAY
from proofrank.service.cli.ranking_options import beam_of

if TYPE_CHECKING:
    from proofrank.core.graph import Dataset
    from proofrank.core.policy import Policy
    from proofrank.core.ranking import Scoring

_WEIGHTS = ("weight", "bonus", "penalty")

_WHOSE_WEIGHTS: Mapping[WeightsFrom, str] = {
    "given": "given weights",
    "policy": "weights of the policy",
    "server": "weights of the server",
    "default": "default weights",
}


def add_scoring(parser: argparse.ArgumentParser, *, has_embedding: bool = True) -> None:
    """Adds ``--scoring``, the weights of hybrid scores, and ``--embedding`` where it is not a server's."""
    group = parser.add_argument_group("scores")
    of_server = "" if has_embedding else "; the last two need a server with an embedding"
    group.add_argument(
        "--scoring",
        choices=SCORINGS,
        default="proof",
        help="what a score is: the proof's log-probability, an embedding's score, or both (default: proof)"
        f"{of_server}",
    )
    if has_embedding:
        group.add_argument(
            "--embedding",
            type=Path,
            metavar="PATH",
            help="an embedding's folder, one of the public DeepProofLog code, or a file of scores",
        )
    group.add_argument(
        "--hybrid",
        type=Path,
        metavar="FILE",
        help="weights of hybrid scores, as proofrank fit-hybrid writes them (default: "
        f"{'those stored with the policy' if has_embedding else 'those of the policy, or of the server'})",
    )
    group.add_argument(
        "--weight", type=float, metavar="W", help="of log sigmoid of the embedding's score (default: 1)"
    )
    group.add_argument(
        "--bonus", type=float, metavar="B", help="what a proof adds (default: its log-probability)"
    )
    group.add_argument("--penalty", type=float, metavar="P", help="what a failure takes away (default: 100)")


def scoring_words(kind: ScoringKind, embedding: str, weights_from: WeightsFrom | None) -> str:
    """What the scores of a table are, in words.

    Args:
        kind: not ``proof``.
        embedding: what the embedding is called.
        weights_from: whose the weights of hybrid scores are; None for those of other kinds.
    """
    weights = "" if kind != "hybrid" or weights_from is None else f", {_WHOSE_WEIGHTS[weights_from]}"
    return f", scoring {kind} ({embedding}{weights})"


def check_weights(parsed: argparse.Namespace) -> None:
    """Refuses weights that do not go together, or without hybrid scores.

    Raises:
        ProofrankError: says which.
    """
    own = [name for name in _WEIGHTS if getattr(parsed, name) is not None]
    if parsed.hybrid is not None and own:
        raise ProofrankError(f"--hybrid and --{own[0]} both give weights; expected one of them")
    if (own or parsed.hybrid is not None) and parsed.scoring != "hybrid":
        flag = own[0] if own else "hybrid"
        raise ProofrankError(f"--{flag} is for --scoring hybrid, and scoring is {parsed.scoring!r}")


def given_weights(parsed: argparse.Namespace) -> Hybrid | None:
    """The weights that the options give; None if they give none. Raises RankingError for a wrong one."""
    if parsed.hybrid is not None:
        return read_hybrid(parsed.hybrid)
    own = {name: getattr(parsed, name) for name in _WEIGHTS if getattr(parsed, name) is not None}
    return Hybrid(HybridWeights.from_dict(own)) if own else None


def check_scoring(parsed: argparse.Namespace) -> None:
    """Refuses options that do not go together.

    Raises:
        ProofrankError: says which.
    """
    check_weights(parsed)
    if parsed.embedding is not None and parsed.scoring == "proof":
        raise ProofrankError("--embedding is for --scoring embedding or hybrid, and scoring is 'proof'")
    if parsed.scoring == "proof":
        return
    if parsed.embedding is None:
        raise ProofrankError(f"--scoring {parsed.scoring} needs --embedding")
    if parsed.beam > 1 and parsed.scoring == "embedding":
        raise ProofrankError(f"--scoring {parsed.scoring} cannot be combined with --beam {parsed.beam}")


def is_embedding_alone(parsed: argparse.Namespace) -> bool:
    """Whether nothing is proved."""
    return parsed.scoring == "embedding"


def read_scoring(parsed: argparse.Namespace, dataset: Dataset, policy: Policy) -> Scoring | None:
    """The scoring that the options name; None for proofs alone.

    Raises:
        RankingError: a weight is wrong, or those of the policy were fitted with another embedding.
        EmbeddingError: the embedding cannot be read, or lacks a name of the graph.
    """
    # Imported here: the parser of a command that speaks to a server needs nothing of this.
    from proofrank.in_process import scoring_of

    triples = dataset.splits[parsed.split]
    # The workers of Ray may have no device like this one's; on every device the scores have the same bits.
    device = "cpu" if parsed.on == RAY else parsed.device
    return scoring_of(
        *(parsed.scoring, parsed.embedding, given_weights(parsed), dataset, triples, device, policy),
        beam_of(parsed),
    )
