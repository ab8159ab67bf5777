"""Loads a dataset folder: train, valid and test triples, rules and, where there are any, domains.

In: a folder with ``train``, ``valid``, ``test`` and ``rules`` (``.txt``, ``.tsv`` or ``.pl``) and perhaps
``domain2constants.txt``. Out: a :class:`Dataset`, all by indices. The train triples are the facts that a
proof may use; valid and test are known to be true only when corruptions are filtered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from proofrank.core.choices import SPLITS
from proofrank.core.errors import DatasetError
from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.triples import TripleFile, read_triples
from proofrank.core.graph.domains import read_domains
from proofrank.core.graph.fact_index import FactIndex
from proofrank.core.graph.rules import NamedRule, Rule, check_predicates, index_rule, read_rules
from proofrank.core.graph.vocabulary import Vocabulary

_SUFFIXES = (".txt", ".tsv", ".pl")
_DOMAINS_FILE = "domain2constants.txt"


class Triple(NamedTuple):
    """A ground atom by indices: ``predicate(head, tail)``."""

    predicate: int
    head: int
    tail: int


@dataclass(frozen=True)
class Dataset:
    """A knowledge graph with its rules.

    Attributes:
        name: the folder's name.
        vocabulary: names and indices.
        splits: ``train``, ``valid`` and ``test`` -> their distinct triples, in the order of the file.
        rules: in the order of the file.
        domains: domain name -> ascending indices of its constants; empty where the dataset has none.
        warnings: what is odd in the files but not wrong, for people to read.
        num_duplicates: how many lines of each split repeated an earlier one.
        content_hash: SHA-256 over names, triples, rules and domains, in hexadecimal.
    """

    name: str
    vocabulary: Vocabulary
    splits: dict[str, tuple[Triple, ...]]
    rules: tuple[Rule, ...]
    domains: dict[str, tuple[int, ...]]
    warnings: tuple[str, ...] = ()
    num_duplicates: dict[str, int] = field(default_factory=dict)
    content_hash: str = ""

    @cached_property
    def facts(self) -> FactIndex:
        """The index of the train triples."""
        return FactIndex(self.splits["train"])

    @cached_property
    def rules_by_predicate(self) -> dict[int, tuple[Rule, ...]]:
        """Head predicate -> its rules, in the order of the file."""
        grouped: dict[int, list[Rule]] = {}
        for rule in self.rules:
            grouped.setdefault(rule.head[0], []).append(rule)
        return {predicate: tuple(rules) for predicate, rules in grouped.items()}

    @cached_property
    def known_heads(self) -> dict[tuple[int, int], list[int]]:
        """(predicate, tail) -> the heads of the known triples, of all splits."""
        heads: dict[tuple[int, int], list[int]] = {}
        for predicate, head, tail in chain.from_iterable(self.splits.values()):
            heads.setdefault((predicate, tail), []).append(head)
        return heads

    @cached_property
    def known_tails(self) -> dict[tuple[int, int], list[int]]:
        """(predicate, head) -> the tails of the known triples, of all splits."""
        tails: dict[tuple[int, int], list[int]] = {}
        for predicate, head, tail in chain.from_iterable(self.splits.values()):
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


def load_dataset(folder: Path | str) -> Dataset:
    """Loads the dataset in ``folder``.

    Raises:
        DatasetError: a file is missing or bad; the message names path, line number, line and what was expected.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder; expected a dataset folder with train, valid, test and rules"
        )
    files = {split: read_triples(_find(folder, split)) for split in SPLITS}
    if not files["train"].triples:
        raise DatasetError(f"{files['train'].path}: no triple in this file; expected at least one fact")
    named_rules = read_rules(_find(folder, "rules"))
    domains_path = folder / _DOMAINS_FILE
    named_domains = read_domains(domains_path) if domains_path.is_file() else {}
    return _index(folder.resolve().name, files, named_rules, named_domains)


def _find(folder: Path, stem: str) -> Path:
    """The one file of ``folder`` that holds ``stem``."""
    candidates = [folder / f"{stem}{suffix}" for suffix in _SUFFIXES]
    found = [path for path in candidates if path.is_file()]
    names = ", ".join(path.name for path in candidates)
    if not found:
        raise DatasetError(f"{folder}: no {stem} file; expected one of {names}")
    if len(found) > 1:
        raise DatasetError(
            f"{folder}: {' and '.join(path.name for path in found)}; expected only one of {names}"
        )
    return found[0]


def _index(
    name: str,
    files: dict[str, TripleFile],
    named_rules: tuple[NamedRule, ...],
    named_domains: dict[str, tuple[str, ...]],
) -> Dataset:
    triples = [triple for file in files.values() for triple in file.triples]
    with_triples = {triple.predicate for triple in triples}
    warnings = check_predicates(named_rules, with_triples)
    vocabulary = Vocabulary.from_names(
        with_triples | {rule.head.predicate for rule in named_rules},
        {constant for triple in triples for constant in triple[1:]},
    )
    domains, domain_warnings = _index_domains(named_domains, vocabulary)
    return Dataset(
        name=name,
        vocabulary=vocabulary,
        splits={split: tuple(_index_triples(file.triples, vocabulary)) for split, file in files.items()},
        rules=tuple(index_rule(rule, vocabulary) for rule in named_rules),
        domains=domains,
        warnings=(*warnings, *domain_warnings, *_duplicate_warnings(files)),
        num_duplicates={split: file.num_duplicates for split, file in files.items()},
        content_hash=_content_hash(files, named_rules, named_domains),
    )


def _index_triples(triples: Iterable[NamedAtom], vocabulary: Vocabulary) -> Iterable[Triple]:
    predicate_of, constant_of = vocabulary.predicate_index, vocabulary.constant_index
    for predicate, first, second in triples:
        yield Triple(predicate_of(predicate), constant_of(first), constant_of(second))


def _index_domains(
    named: dict[str, tuple[str, ...]], vocabulary: Vocabulary
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Domains by index, without the constants that no triple has: nothing is known of those."""
    domains: dict[str, tuple[int, ...]] = {}
    warnings: list[str] = []
    for domain, constants in named.items():
        known = {name for name in constants if vocabulary.has_constant(name)}
        unknown = sorted(set(constants) - known)
        if unknown:
            shown = ", ".join(repr(name) for name in unknown[:3])
            warnings.append(
                f"domain {domain!r}: {len(unknown)} constant(s) of no triple are left out, such as {shown}"
            )
        domains[domain] = tuple(sorted(vocabulary.constant_index(name) for name in known))
    return domains, warnings


def _duplicate_warnings(files: dict[str, TripleFile]) -> list[str]:
    return [
        f"{file.path}: {file.num_duplicates} duplicate triple(s) dropped"
        for file in files.values()
        if file.num_duplicates
    ]


def _content_hash(
    files: dict[str, TripleFile], rules: tuple[NamedRule, ...], domains: dict[str, tuple[str, ...]]
) -> str:
    digest = hashlib.sha256()
    for split, file in files.items():
        digest.update(f"\n[{split}]\n".encode())
        digest.update("\n".join("\t".join(triple) for triple in file.triples).encode())
    digest.update(b"\n[rules]\n")
    digest.update("\n".join(str(rule) for rule in rules).encode())
    for domain, constants in domains.items():
        digest.update(f"\n[{domain}]\n".encode() + "\t".join(constants).encode())
    return digest.hexdigest()
