"""Evaluation protocols by name: how each draws candidates and breaks ties.

A protocol settles number and filter of the corruptions, ties, and where candidates come from. An option that says
something else is refused, so that a name always means the same numbers. ``docs/protocols.md`` has the sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from proofrank.core.errors import RankingError, did_you_mean, nearest_names, shown

PROTOCOLS = ("filtered-all", "sampled-N", "ogb", "fixed-negatives", "deepprooflog", "deepprooflog-N")
"""Names of protocols; N stands for a number of corruptions."""

CANDIDATE_SOURCES: tuple[Literal["domains"], Literal["entities"], Literal["relations"]] = (
    "domains",
    "entities",
    "relations",
)
"""Where candidates come from: the domains of the replaced constant, all entities, or those seen with the relation."""

DEFAULT_CORRUPTIONS = 50
DEEPPROOFLOG_CORRUPTIONS = 100
MOST_CORRUPTIONS = 10**6

Corruptions = int | Literal["all"]

_SAMPLED = re.compile(r"(?P<kind>sampled|deepprooflog)-(?P<number>[1-9]\d{0,6})")


@dataclass(frozen=True)
class RankingRules:
    """How corruptions are chosen and ties are broken.

    Attributes:
        protocol: name of the protocol; None without one.
        corruptions: number for each query and side, or ``"all"``; of fixed negatives, all that are given.
        filtered: whether corruptions that are known triples are left out.
        ties: rank that counts among equal scores.
        candidates_from: one of ``CANDIDATE_SOURCES``, or the name of a file that was read.
    """

    protocol: str | None = None
    corruptions: Corruptions = DEFAULT_CORRUPTIONS
    filtered: bool = True
    ties: str = "realistic"
    candidates_from: str = "domains"

    @property
    def has_fixed_negatives(self) -> bool:
        """Whether the negatives of each query are given, and none is drawn."""
        return self.protocol in ("ogb", "fixed-negatives")

    @property
    def is_deepprooflog(self) -> bool:
        """Whether candidates and ties are drawn as by the public DeepProofLog code."""
        return self.protocol is not None and self.protocol.startswith("deepprooflog")


WITHOUT_PROTOCOL = RankingRules()


def rules_of(protocol: str) -> RankingRules:
    """The rules of a protocol.

    Raises:
        RankingError: there is none of this name.
    """
    if protocol == "filtered-all":
        return RankingRules(protocol, "all", candidates_from="entities")
    if protocol in ("ogb", "fixed-negatives"):
        return RankingRules(protocol, "all", filtered=False)
    if protocol == "deepprooflog":
        return RankingRules(protocol, DEEPPROOFLOG_CORRUPTIONS, ties="random")
    sampled = _SAMPLED.fullmatch(protocol)
    if sampled is None or int(sampled["number"]) > MOST_CORRUPTIONS:
        nearest = did_you_mean(nearest_names(protocol, PROTOCOLS))
        raise RankingError(
            f"unknown protocol {shown(protocol)}{nearest}; expected one of {', '.join(PROTOCOLS)}"
        )
    number = int(sampled["number"])
    if sampled["kind"] == "sampled":
        return RankingRules(protocol, number, candidates_from="entities")
    return RankingRules(protocol, number, ties="random")


def settled(
    protocol: str | None,
    *,
    corruptions: Corruptions = WITHOUT_PROTOCOL.corruptions,
    filtered: bool = WITHOUT_PROTOCOL.filtered,
    ties: str = WITHOUT_PROTOCOL.ties,
    candidates_from: str = WITHOUT_PROTOCOL.candidates_from,
) -> RankingRules:
    """The rules of a protocol and options; an option at its default says nothing.

    Raises:
        RankingError: the protocol is unknown, or an option says something else than it.
    """
    given = RankingRules(protocol, corruptions, filtered, ties, candidates_from)
    if protocol is None:
        return given
    rules = rules_of(protocol)
    for name in ("corruptions", "filtered", "ties", "candidates_from"):
        value, wanted = getattr(given, name), getattr(rules, name)
        if value not in (getattr(WITHOUT_PROTOCOL, name), wanted):
            raise RankingError(
                f"{name} is {shown(value)}, and protocol {protocol!r} ranks with {wanted!r}; leave out one of the two"
            )
    return rules
