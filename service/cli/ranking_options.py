"""The options of whatever ranks, here or on a server: which corruptions, how many triples, which rank counts."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from proofrank.core.choices import (
    BEAM_SCORES,
    HITS_AT,
    MOST_HITS_AT,
    MOST_TRAJECTORIES,
    PRUNING_LEVELS,
    SIDE_OPTIONS,
    TIE_POLICIES,
)
from proofrank.core.errors import ProofrankError, RankingError, counted
from proofrank.core.metric_names import checked_hits_at
from proofrank.core.protocol_rules import (
    CANDIDATE_SOURCES,
    PROTOCOLS,
    WITHOUT_PROTOCOL,
    RankingRules,
    settled,
)

if TYPE_CHECKING:
    from proofrank.core.prover.beams import Beam


def add_ranking(parser: argparse.ArgumentParser, default_number: int | None) -> None:
    """Adds the options that hold for any triples, whether of a split or not.

    Args:
        parser: of a command.
        default_number: triples to take where ``--queries`` is not given; None for all.
    """
    group = parser.add_argument_group("queries")
    add_draw(group)
    group.add_argument("--side", default="both", choices=SIDE_OPTIONS, help="which constant is replaced")
    group.add_argument(
        "--queries",
        type=positive,
        default=default_number,
        metavar="N",
        help=f"a seeded sample of N triples (default: {'all' if default_number is None else default_number})",
    )


def check_triples(parsed: argparse.Namespace) -> None:
    """Refuses all but one of a triple, ``--split`` and ``--file``. Raises ProofrankError."""
    if sum((bool(parsed.triple), parsed.split is not None, parsed.file is not None)) != 1:
        raise ProofrankError("expected one of HEAD RELATION TAIL, --split and --file")
    if parsed.triple and len(parsed.triple) != 3:
        raise ProofrankError(
            f"expected HEAD RELATION TAIL, got {counted(len(parsed.triple), 'name')}: {' '.join(parsed.triple)}"
        )


def add_draw(group: argparse._ArgumentGroup) -> None:
    """Adds the options that say which corruptions a query has."""
    group.add_argument(
        "--corruptions",
        type=_number_or_all,
        default=50,
        metavar="N|all",
        help="per query and side (default: 50)",
    )
    group.add_argument("--seed", type=not_negative, default=0, help="of every draw (default: 0)")
    group.add_argument("--unfiltered", action="store_true", help="corruptions may be known triples")


def add_ties(parser: argparse.ArgumentParser) -> None:
    """Adds ``--ties``."""
    parser.add_argument(
        "--ties", default="realistic", choices=TIE_POLICIES, help="which rank counts among equals"
    )


def add_hits_at(parser: argparse.ArgumentParser) -> None:
    """Adds ``--hits-at``."""
    parser.add_argument(
        "--hits-at",
        type=_hits_at,
        default=HITS_AT,
        metavar="K,K,…",
        help=f"the k of Hits@k (default: {','.join(map(str, HITS_AT))})",
    )


def add_protocol(parser: argparse.ArgumentParser, *, has_files: bool) -> None:
    """Adds ``--protocol`` and ``--candidates-from``, and, with files, ``--negatives``."""
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"corruptions, filter, ties and candidates by name: {', '.join(PROTOCOLS)}",
    )
    group.add_argument(
        "--candidates-from",
        default=WITHOUT_PROTOCOL.candidates_from,
        metavar="WHERE",
        help="the domains of the replaced constant, all entities, or those that the facts have with the relation: "
        f"{', '.join(CANDIDATE_SOURCES)}{'; or a file of candidates by relation' if has_files else ''} "
        f"(default: {WITHOUT_PROTOCOL.candidates_from})",
    )
    if has_files:
        group.add_argument(
            "--negatives",
            type=Path,
            metavar="FILE",
            help="for the protocols ogb and fixed-negatives: a line for each triple and side with its negatives",
        )


def settle_protocol(parsed: argparse.Namespace) -> None:
    """Puts what the protocol settles in place of the options that it settles.

    Raises:
        RankingError: the protocol is unknown, or an option says something else than it.
    """
    rules = ranking_rules(parsed)
    parsed.corruptions = None if rules.corruptions == "all" else rules.corruptions
    parsed.unfiltered, parsed.ties = not rules.filtered, rules.ties
    parsed.candidates_from = rules.candidates_from


def ranking_rules(parsed: argparse.Namespace) -> RankingRules:
    """The rules that the options ask for; raises as :func:`settle_protocol`."""
    return settled(
        getattr(parsed, "protocol", None),
        corruptions="all" if parsed.corruptions is None else parsed.corruptions,
        filtered=not parsed.unfiltered,
        ties=getattr(parsed, "ties", WITHOUT_PROTOCOL.ties),
        candidates_from=getattr(parsed, "candidates_from", WITHOUT_PROTOCOL.candidates_from),
    )


def ranking_words(parsed: argparse.Namespace, has_domains: bool) -> str:
    """What is ranked against what, in words: a number is comparable with others only if that is the same.

    Args:
        parsed: options of a command that ranks a split.
        has_domains: whether the dataset has domains; without them all constants are candidates.
    """
    rules = ranking_rules(parsed)
    source = {
        "domains": "the domains" if has_domains else "all constants",
        "entities": "all constants",
        "relations": "those that facts have with the relation",
    }.get(rules.candidates_from, rules.candidates_from)
    against = f"{rules.corruptions} corruptions a side from {source}"
    if rules.has_fixed_negatives:
        against = "the negatives of the file"
    name = "" if rules.protocol is None else f", protocol {rules.protocol}"
    filtered = "filtered" if rules.filtered else "unfiltered"
    return (
        f"ranking {parsed.split}, side {parsed.side}: against {against}, {filtered}, {rules.ties} ties{name}"
    )


def _hits_at(text: str) -> tuple[int, ...]:
    try:
        return checked_hits_at(map(int, text.split(",")))
    except (ValueError, RankingError):
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected up to {MOST_HITS_AT} different whole numbers of 1 or more, such as 1,5,20"
        ) from None


def add_pruning(parser: argparse.ArgumentParser, default: str = "exact") -> None:
    """Adds ``--pruning``, whose default is ``default`` in words."""
    parser.add_argument(
        "--pruning",
        choices=PRUNING_LEVELS,
        help="what may be left out, all ranks being the same: exact keeps every metric, ranks leaves the share of "
        f"proved corruptions open (default: {default})",
    )


def add_beam(parser: argparse.ArgumentParser) -> None:
    """Adds ``--beam`` and ``--beam-score``."""
    group = parser.add_argument_group("beams")
    group.add_argument(
        "--beam",
        type=positive,
        default=1,
        metavar="K",
        help=f"trajectories of a candidate, at most {MOST_TRAJECTORIES} (default: 1, the greedy one)",
    )
    group.add_argument(
        "--beam-score",
        default=BEAM_SCORES[0],
        choices=BEAM_SCORES,
        help="of a candidate with several proofs: the best one's log-probability, the log of the probability that "
        f"the policy takes any of them, or noisy-or (default: {BEAM_SCORES[0]})",
    )


def beam_of(parsed: argparse.Namespace) -> Beam:
    """The values of the options of :func:`add_beam`. Raises EvaluationError for too many trajectories."""
    # Imported here: the parser of a command that speaks to a server needs no prover.
    from proofrank.core.prover.beams import Beam

    return Beam(parsed.beam, parsed.beam_score)


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    """Adds ``--mrr-tolerance``."""
    parser.add_argument(
        "--mrr-tolerance",
        type=_tolerance,
        metavar="T",
        help="prove candidates only until the MRR is certain to T, such as 0.001, up and down; metrics are intervals",
    )


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number of 0 or more, such as 0.001")
    return value


def _number_or_all(text: str) -> int | None:
    """The number of corruptions; None for all."""
    return None if text == "all" else not_negative(text)


def not_negative(text: str) -> int:
    """A whole number of 0 or more, as a type of an option."""
    return _at_least(text, 0)


def positive(text: str) -> int:
    """A whole number of 1 or more, as a type of an option."""
    return _at_least(text, 1)


def _at_least(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, {least} or more")
    return value
