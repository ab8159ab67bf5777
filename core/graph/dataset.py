"""A knowledge graph with its rules, all by indices.

The train triples are the facts that a proof may use, together with those of ``facts.txt`` where there is one. Valid
and test are known to be true only when corruptions are filtered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from proofrank.core.choices import SIDES, Side
from proofrank.core.errors import counted
from proofrank.core.formats.warnings import DatasetWarning
from proofrank.core.graph.fact_index import FactIndex
from proofrank.core.graph.rules import Rule
from proofrank.core.graph.vocabulary import Vocabulary


class Triple(NamedTuple):
    """A ground atom by indices: ``predicate(head, tail)``."""

    predicate: int
    head: int
    tail: int


@dataclass(frozen=True)
class FileReading:
    """How a file of a dataset was read.

    Attributes:
        path: the file.
        holds: what it holds: ``triples``, ``facts``, ``rules`` or ``domains``.
        format: the form in which it was read.
        count: how many of them were kept.
        notes: what was taken in a way that a reader of the log should know.
    """

    path: Path
    holds: str
    format: str
    count: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        number = counted(self.count, self.holds.removesuffix("s"))
        return "; ".join([f"{self.path}: {number}, {self.format}", *self.notes])


@dataclass(frozen=True)
class Dataset:
    """A knowledge graph with its rules.

    Attributes:
        name: the folder's name.
        vocabulary: names and indices.
        splits: ``train``, ``valid`` and ``test`` -> their distinct triples, in the order of the file.
        rules: in the order of the file.
        domains: domain name -> ascending indices of its constants; empty where the dataset has none.
        facts_beside_train: the triples of ``facts.txt`` that are not in train: facts that are not ranked.
        files: how each file was read.
        warnings: what is probably wrong in the files.
        num_duplicates: how many lines of each split repeated an earlier one.
        content_hash: SHA-256 over names, triples, rules and domains, in hexadecimal.
    """

    name: str
    vocabulary: Vocabulary
    splits: dict[str, tuple[Triple, ...]]
    rules: tuple[Rule, ...]
    domains: dict[str, tuple[int, ...]]
    facts_beside_train: tuple[Triple, ...] = ()
    files: tuple[FileReading, ...] = ()
    warnings: tuple[DatasetWarning, ...] = ()
    num_duplicates: dict[str, int] = field(default_factory=dict)
    content_hash: str = ""

    @cached_property
    def facts(self) -> FactIndex:
        """The index of the facts."""
        return FactIndex(self.fact_triples)

    @property
    def fact_triples(self) -> tuple[Triple, ...]:
        """The facts: the train triples, and behind them those of ``facts.txt``."""
        return (*self.splits["train"], *self.facts_beside_train)

    def _known_triples(self) -> Iterator[Triple]:
        return chain(chain.from_iterable(self.splits.values()), self.facts_beside_train)

    @cached_property
    def rules_by_predicate(self) -> dict[int, tuple[Rule, ...]]:
        """Head predicate -> its rules, in the order of the file."""
        grouped: dict[int, list[Rule]] = {}
        for rule in self.rules:
            grouped.setdefault(rule.head[0], []).append(rule)
        return {predicate: tuple(rules) for predicate, rules in grouped.items()}

    @cached_property
    def known_heads(self) -> dict[tuple[int, int], list[int]]:
        """(predicate, tail) -> the heads of the known triples, of all splits and ``facts.txt``."""
        heads: dict[tuple[int, int], list[int]] = {}
        for predicate, head, tail in self._known_triples():
            heads.setdefault((predicate, tail), []).append(head)
        return heads

    @cached_property
    def known_tails(self) -> dict[tuple[int, int], list[int]]:
        """(predicate, head) -> the tails of the known triples, of all splits and ``facts.txt``."""
        tails: dict[tuple[int, int], list[int]] = {}
        for predicate, head, tail in self._known_triples():
            tails.setdefault((predicate, head), []).append(tail)
        return tails

    @cached_property
    def domains_of_constants(self) -> dict[int, list[np.ndarray]]:
        """Constant -> the constants of each of its domains, ascending ``[n]`` int64."""
        domains: dict[int, list[np.ndarray]] = {}
        for constants in self.domains.values():
            domain = np.asarray(constants, dtype=np.int64)
            for constant in constants:
                domains.setdefault(constant, []).append(domain)
        return domains

    @cached_property
    def seen_with_relations(self) -> dict[tuple[int, Side], np.ndarray]:
        """(predicate, side) -> the constants that stand there in a fact, ascending ``[n]`` int64."""
        facts = np.array(self.fact_triples, dtype=np.int64).reshape(-1, 3)
        facts = facts[np.argsort(facts[:, 0], kind="stable")]
        predicates, starts = np.unique(facts[:, 0], return_index=True)
        return {
            (int(predicate), side): np.unique(own[:, column])
            for predicate, own in zip(predicates, np.split(facts, starts[1:]), strict=True)
            for column, side in enumerate(SIDES, start=1)
        }

    def triple(self, head: str, relation: str, tail: str) -> Triple:
        """The triple of these names. Raises UnknownNameError with the nearest names."""
        return Triple(
            self.vocabulary.predicate_index(relation),
            self.vocabulary.constant_index(head),
            self.vocabulary.constant_index(tail),
        )

    def names(self, triple: Triple) -> tuple[str, str, str]:
        """The names of a triple: (head, relation, tail)."""
        return (
            self.vocabulary.argument_name(triple.head),
            self.vocabulary.predicate_name(triple.predicate),
            self.vocabulary.argument_name(triple.tail),
        )
