"""Loads a dataset folder: train, valid and test triples, rules and, where there are any, further facts and domains.

In: a folder with ``train``, ``valid`` (or ``dev``), ``test`` and ``rules``, perhaps ``facts`` (each ``.txt``, ``.tsv``
or ``.pl``, or compressed with ``.gz`` behind), and perhaps ``domain2constants.txt``. Out: a :class:`Dataset`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.choices import SPLITS
from proofrank.core.errors import DatasetError, counted, did_you_mean, nearest_names
from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.rules import NamedRule, read_rule_file
from proofrank.core.formats.rules.files import check_rule_format
from proofrank.core.formats.triples import TripleFile, read_triples
from proofrank.core.formats.warnings import DatasetWarning, WarningCollector
from proofrank.core.graph.dataset import Dataset, FileReading, Triple
from proofrank.core.graph.domains import read_domains
from proofrank.core.graph.rules import index_rule, settle_rules
from proofrank.core.graph.similar_names import (
    warn_of_lone_first_lines,
    warn_of_overlaps,
    warn_of_similar_names,
)
from proofrank.core.graph.vocabulary import Vocabulary
from proofrank.core.near_paths import entries, near_path

_SUFFIXES = (".txt", ".tsv", ".pl")
_COMPRESSED = ".gz"
_OTHER_NAMES = {"valid": ("dev",)}
_DOMAINS_FILE = "domain2constants.txt"


def load_dataset(folder: Path | str, *, rules_format: str | None = None, strict: bool = False) -> Dataset:
    """Loads the dataset in ``folder``.

    Args:
        folder: see ``docs/datasets.md``.
        rules_format: the format of the rules, one of ``RULE_FORMATS``; told by the file where it is None.
        strict: whether what is probably wrong is an error.

    Raises:
        DatasetError: a file is missing or bad, or ``strict`` and there is a warning; the message names path, line
            number, line and what was expected.
    """
    folder = Path(folder)
    check_rule_format(rules_format)
    dataset = _index(
        folder.resolve().name,
        _triple_files(folder),
        _find(folder, "rules"),
        rules_format,
        _domains_path(folder),
    )
    _check_strict(dataset, folder, strict)
    return dataset


def load_other_graph(
    folder: Path | str, dataset: Dataset, *, rules_format: str | None = None, strict: bool = False
) -> Dataset:
    """Loads another graph with the relations and the rules of ``dataset``, as an inductive evaluation has it.

    Args:
        folder: folder of train, valid and test triples of other constants, perhaps of facts and domains; its rules, if
            it has any, are not read.
        dataset: graph whose rules and relations hold in the other one too; loaded from files.
        rules_format: format of the rules, as for :func:`load_dataset`.
        strict: whether what is probably wrong is an error.

    Raises:
        DatasetError: a file is missing or bad, or a relation is not one of ``dataset``; with the line.
    """
    folder = Path(folder)
    rules_path = next((file.path for file in dataset.files if file.holds == "rules"), None)
    if rules_path is None:
        raise DatasetError(f"dataset {dataset.name!r} was not loaded from files, and has no file of rules")
    files = _triple_files(folder)
    for file in files:
        for triple, line in zip(file.triples, file.lines, strict=True):
            if not dataset.vocabulary.has_predicate(triple.predicate):
                nearest = did_you_mean(nearest_names(triple.predicate, dataset.vocabulary.predicates))
                raise DatasetError(
                    f"{file.path}:{line}: relation {triple.predicate!r} is not in dataset {dataset.name!r}{nearest}; "
                    "expected the same relations"
                )
    found = _index(
        folder.resolve().name,
        files,
        rules_path,
        rules_format,
        _domains_path(folder),
        frozenset(dataset.vocabulary.predicates),
    )
    _check_strict(found, folder, strict)
    return found


def _triple_files(folder: Path) -> _TripleFiles:
    """Reads the files of triples of a folder."""
    if not folder.is_dir():
        is_file = folder.is_file()
        raise DatasetError(
            f"{folder}: {'a file' if is_file else 'no such folder'}; expected a dataset folder with train, valid, test "
            f"and rules{'' if is_file else near_path(folder)}"
        )
    triples = {split: read_triples(_find(folder, split)) for split in SPLITS}
    if not triples["train"].triples:
        raise DatasetError(f"{triples['train'].path}: no triple in this file; expected at least one fact")
    facts_path = _find_all(folder, "facts")
    return _TripleFiles(triples, read_triples(_only(folder, "facts", facts_path)) if facts_path else None)


def _check_strict(dataset: Dataset, folder: Path, strict: bool) -> None:
    """Raises DatasetError if ``strict`` and there is a warning."""
    if strict and dataset.warnings:
        warnings = "\n".join(f"  {warning}" for warning in dataset.warnings)
        number = counted(len(dataset.warnings), "warning")
        raise DatasetError(f"{folder}: {number}, and none is allowed:\n{warnings}")


def _find(folder: Path, stem: str) -> Path:
    """The one file of ``folder`` that holds ``stem``."""
    found = _find_all(folder, stem)
    if not found:
        others = "".join(f", or {other}.txt in its place" for other in _OTHER_NAMES.get(stem, ()))
        raise DatasetError(
            f"{folder}: no {stem} file; expected one of {_names(stem)}, or one with {_COMPRESSED}{others}"
            f"{_EMPTY if stem in ('valid', 'test') else ''}{_in_its_place(folder, stem)}"
        )
    return _only(folder, stem, found)


_EMPTY = "; it may be empty"
_FIRST_LETTERS = 4
_MOST_NAMES = 5


def _in_its_place(folder: Path, stem: str) -> str:
    """What a message says of the files of other names, and of the folders within, that may be meant by ``stem``."""
    names = [
        name
        for name in entries(folder)
        if stem[:_FIRST_LETTERS] in name.casefold() and (folder / name).is_file()
    ]
    if names:
        return f"; the folder has {', '.join(names[:_MOST_NAMES])}"
    within = [folder / name for name in entries(folder) if _find_all(folder / name, stem)]
    return did_you_mean([str(path) for path in within[:_MOST_NAMES]])


def _find_all(folder: Path, stem: str) -> list[Path]:
    paths = (
        folder / f"{name}{suffix}{compression}"
        for name in (stem, *_OTHER_NAMES.get(stem, ()))
        for suffix in _SUFFIXES
        for compression in ("", _COMPRESSED)
    )
    return [path for path in paths if path.is_file()]


def _only(folder: Path, stem: str, found: list[Path]) -> Path:
    if len(found) > 1:
        raise DatasetError(
            f"{folder}: {' and '.join(path.name for path in found)}; expected only one of {_names(stem)}"
        )
    return found[0]


def _names(stem: str) -> str:
    return ", ".join(f"{stem}{suffix}" for suffix in _SUFFIXES)


def _domains_path(folder: Path) -> Path | None:
    paths = (folder / _DOMAINS_FILE, folder / f"{_DOMAINS_FILE}{_COMPRESSED}")
    return next((path for path in paths if path.is_file()), None)


@dataclass(frozen=True)
class _TripleFiles:
    """The files of triples: those of the splits, and that of further facts."""

    splits: dict[str, TripleFile]
    facts: TripleFile | None

    def __iter__(self) -> Iterator[TripleFile]:
        yield from self.splits.values()
        if self.facts is not None:
            yield self.facts

    @property
    def facts_beside_train(self) -> tuple[NamedAtom, ...]:
        """The further facts that are not in train."""
        if self.facts is None:
            return ()
        train = frozenset(self.splits["train"].triples)
        return tuple(triple for triple in self.facts.triples if triple not in train)


def _index(
    name: str,
    files: _TripleFiles,
    rules_path: Path,
    rules_format: str | None,
    domains_path: Path | None,
    more_predicates: frozenset[str] = frozenset(),
) -> Dataset:
    triples = [triple for file in files for triple in file.triples]
    predicates = frozenset(triple.predicate for triple in triples) | more_predicates
    constants = frozenset(constant for triple in triples for constant in triple[1:])
    rule_file = read_rule_file(rules_path, predicates, rules_format)
    rules = settle_rules(rule_file, predicates, constants)
    vocabulary = Vocabulary.from_names(predicates | {rule.head.predicate for rule in rules.rules}, constants)
    named_domains = read_domains(domains_path) if domains_path is not None else {}
    found = WarningCollector()
    domains = _index_domains(named_domains, vocabulary, domains_path, found)
    warn_of_overlaps(files.splits, files.facts, found)
    warn_of_similar_names(tuple(files), found)
    warn_of_lone_first_lines(tuple(files), found)
    beside_train = files.facts_beside_train
    return Dataset(
        name=name,
        vocabulary=vocabulary,
        splits={
            split: tuple(_index_triples(file.triples, vocabulary)) for split, file in files.splits.items()
        },
        rules=tuple(index_rule(rule, vocabulary) for rule in rules.rules),
        domains=domains,
        facts_beside_train=tuple(_index_triples(beside_train, vocabulary)),
        files=(
            *_read_triple_files(files, len(beside_train)),
            FileReading(rules_path, "rules", rule_file.format, len(rules.rules), rules.notes),
            *(
                [FileReading(domains_path, "domains", "names", len(domains))]
                if domains_path is not None
                else []
            ),
        ),
        warnings=(*_warnings_of(files), *rule_file.warnings, *rules.warnings, *found.warnings),
        num_duplicates={split: file.num_duplicates for split, file in files.splits.items()},
        content_hash=_content_hash(files, beside_train, rules.rules, named_domains),
    )


def _warnings_of(files: Iterable[TripleFile]) -> Iterator[DatasetWarning]:
    for file in files:
        yield from file.warnings


def _read_triple_files(files: _TripleFiles, num_beside_train: int) -> Iterator[FileReading]:
    for file in files.splits.values():
        yield FileReading(file.path, "triples", file.format, len(file.triples))
    if files.facts is not None:
        verb = "is" if num_beside_train == 1 else "are"
        note = f"{num_beside_train} {verb} not in {files.splits['train'].path.name} and {verb} not ranked"
        yield FileReading(files.facts.path, "facts", files.facts.format, len(files.facts.triples), (note,))


def _index_triples(triples: Iterable[NamedAtom], vocabulary: Vocabulary) -> Iterator[Triple]:
    predicate_of, constant_of = vocabulary.predicate_index, vocabulary.constant_index
    for predicate, first, second in triples:
        yield Triple(predicate_of(predicate), constant_of(first), constant_of(second))


def _index_domains(
    named: Mapping[str, tuple[str, ...]],
    vocabulary: Vocabulary,
    path: Path | None,
    warnings: WarningCollector,
) -> dict[str, tuple[int, ...]]:
    """Domains by index, without the constants that no triple has: nothing is known of those."""
    domains: dict[str, tuple[int, ...]] = {}
    for domain, constants in named.items():
        known = {name for name in constants if vocabulary.has_constant(name)}
        for name in sorted(set(constants) - known):
            assert path is not None
            warnings.add("domain-constant", path, None, f"{name!r} of domain {domain!r}")
        domains[domain] = tuple(sorted(vocabulary.constant_index(name) for name in known))
    if path is not None:
        with_domain = frozenset().union(*domains.values())
        for index, name in enumerate(vocabulary.constants, start=1):
            if index not in with_domain:
                warnings.add("without-domain", path, None, repr(name))
    return domains


def _content_hash(
    files: _TripleFiles,
    beside_train: tuple[NamedAtom, ...],
    rules: tuple[NamedRule, ...],
    domains: Mapping[str, tuple[str, ...]],
) -> str:
    digest = hashlib.sha256()
    parts = {split: file.triples for split, file in files.splits.items()}
    if beside_train:
        parts["facts"] = beside_train
    for part, triples in parts.items():
        digest.update(f"\n[{part}]\n".encode())
        digest.update("\n".join("\t".join(triple) for triple in triples).encode())
    digest.update(b"\n[rules]\n")
    digest.update("\n".join(str(rule) for rule in rules).encode())
    for domain, constants in domains.items():
        digest.update(f"\n[{domain}]\n".encode() + "\t".join(constants).encode())
    return digest.hexdigest()
