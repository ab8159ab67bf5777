"""What ``/graph``, ``/names`` and ``/jobs/{id}/rules`` answer: the served graph, its names, the use of its rules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described
from proofrank.service.wire.rank_answer import Identity

NameKind = Literal["constant", "relation"]

MAX_NAMES_LISTED = 100
"""Largest number of names in one answer of ``GET /names``."""

MAX_RULES_LISTED = 1000
"""Largest number of rules in one answer of ``GET /graph``."""


@dataclass(frozen=True)
class NameList:
    """Names of the served graph."""

    names: Annotated[
        tuple[str, ...],
        described("Names that begin with the text, then names that hold it.", ["albania", "algeria"]),
    ]


@dataclass(frozen=True)
class RelationCounts:
    """A relation of the served graph."""

    name: Annotated[str, described("Name of the relation.", "locatedInCR")]
    train: Annotated[int, described("Number of its train triples.", 212)]
    valid: Annotated[int, described("Number of its valid triples.", 24)]
    test: Annotated[int, described("Number of its test triples.", 24)]
    facts: Annotated[int, described("Number of its facts: train triples, and those of `facts.txt`.", 212)]
    rules: Annotated[int, described("Number of rules that conclude it.", 2)]


@dataclass(frozen=True)
class ListedRule:
    """A rule of the served graph."""

    name: Annotated[str, described("Name in the file, or `rule` and the number of its line.", "r2")]
    weight: Annotated[float, described("Weight or confidence in the file, 1 without one.", 1.0)]
    text: Annotated[str, described("The rule.", "locatedInCR(X, Y) :- neighborOf(X, Z), locatedInCR(Z, Y)")]


@dataclass(frozen=True)
class GraphSummary:
    """The served graph."""

    dataset: Annotated[Identity, described("Dataset.")]
    constants: Annotated[int, described("Number of constants.", 271)]
    facts: Annotated[int, described("Number of facts.", 1110)]
    relations: Annotated[tuple[RelationCounts, ...], described("Relations, in the order of their indices.")]
    num_rules: Annotated[int, described("Number of rules, listed here or not.", 3)]
    rules: Annotated[tuple[ListedRule, ...], described("Rules from `offset`, in the order of the file.")]


@dataclass(frozen=True)
class RuleUse:
    """How often proofs used a rule."""

    name: Annotated[str, described("Name of the rule.", "r2")]
    proofs: Annotated[int, described("Number of proofs that use it.", 18)]
    uses: Annotated[int, described("Number of uses in all proofs; a proof may use a rule several times.", 31)]


@dataclass(frozen=True)
class RuleUsage:
    """How often the proofs of a job's triples used each rule."""

    proved: Annotated[int, described("Number of the job's triples that were proved.", 20)]
    proofs: Annotated[int, described("Number of those whose proofs were read, spread over the job.", 20)]
    rules: Annotated[tuple[RuleUse, ...], described("Rules that a proof used, the most used first.")]
