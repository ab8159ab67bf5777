"""Rebuilds the vocabulary of the public DeepProofLog code from a dataset, and checks it against the tables of a file.

Its order is ours: names sorted as strings, then ``True``, ``False`` and ``Endf``; constants, then variables. One habit
differs: it finds the atoms of a rule's body by letters, digits and underscores before a parenthesis, so the body atom
``co-occurs_with(x,y)`` becomes ``occurs_with(x,y)``, a predicate of its own beside ``co-occurs_with`` of the facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proofrank.core.errors import PolicyError
from proofrank.core.graph import TERMINAL_PREDICATES, Dataset, Vocabulary

PUBLIC_NUM_VARIABLES = 1000
"""Number of variables that every factory of the public code makes room for."""

_READ_IN_BODY = re.compile(r"\w+$")


@dataclass(frozen=True)
class PublicVocabulary:
    """The names of the rows of a file's tables.

    Attributes:
        vocabulary: names in the order of the rows.
        cut_names: name in a rule's body -> name that the public code read; only the differing ones that have a row.
        num_variables: rows behind the constants.
    """

    vocabulary: Vocabulary
    cut_names: dict[str, str]
    num_variables: int

    @property
    def unused_predicates(self) -> tuple[str, ...]:
        """Predicates that the dataset does not have, ascending."""
        return tuple(sorted(set(self.cut_names.values())))


def rebuild_vocabulary(
    dataset: Dataset,
    num_predicate_rows: int,
    num_argument_rows: int,
    num_variables: int | None,
    where: str,
) -> PublicVocabulary:
    """Finds the vocabulary of ``dataset`` that the tables of a file fit.

    Args:
        dataset: the graph that the policy was trained on.
        num_predicate_rows: rows of the table of predicates, that of padding included.
        num_argument_rows: rows of the table of constants and variables, likewise.
        num_variables: rows that are variables, if told.
        where: path of the file, for errors.

    Raises:
        PolicyError: no vocabulary of the dataset fits; says both numbers, and what they would fit.
    """
    ours = dataset.vocabulary
    cut_names = _cut_names(dataset)
    as_read = Vocabulary((*sorted({*ours.predicates, *cut_names.values()}),), ours.constants)
    num_in_file = num_predicate_rows - 1 - len(TERMINAL_PREDICATES)
    if num_in_file == as_read.num_predicates:
        vocabulary = as_read
    elif num_in_file == ours.num_predicates:
        vocabulary, cut_names = ours, {}
    else:
        raise PolicyError(
            f"{where}: its table has {num_in_file} predicates beside True, False and Endf; dataset {dataset.name!r} "
            f"has {ours.num_predicates}{_or_cut(as_read, ours)}; expected the dataset that the policy was trained on"
            f"{_kge_hint(num_in_file, (ours.num_predicates, as_read.num_predicates))}"
        )
    found = num_argument_rows - 1 - ours.num_constants
    wanted = num_variables if num_variables is not None else PUBLIC_NUM_VARIABLES
    if found != wanted:
        told = "as told" if num_variables is not None else "as the public code always makes"
        raise PolicyError(
            f"{where}: its table has {num_argument_rows - 1} constants and variables; dataset {dataset.name!r} has "
            f"{ours.num_constants} constants, with {wanted} variables ({told}) {ours.num_constants + wanted} rows; "
            "expected the dataset that the policy was trained on"
            + (f", or tell number_of_variables {found}" if found >= 0 else "")
        )
    return PublicVocabulary(vocabulary, cut_names, found)


def _cut_names(dataset: Dataset) -> dict[str, str]:
    """Returns the body predicates that the public code reads otherwise and that become predicates of their own."""
    vocabulary = dataset.vocabulary
    names = {vocabulary.predicate_name(atom[0]) for rule in dataset.rules for atom in rule.body}
    cut: dict[str, str] = {}
    for name in sorted(names):
        match = _READ_IN_BODY.search(name)
        if match is not None and match[0] != name and not vocabulary.has_predicate(match[0]):
            cut[name] = match[0]
    return cut


def _or_cut(as_read: Vocabulary, ours: Vocabulary) -> str:
    if as_read.num_predicates == ours.num_predicates:
        return ""
    return f" (or {as_read.num_predicates}, as the public code reads the bodies of its rules)"


def _kge_hint(num_in_file: int, known: tuple[int, ...]) -> str:
    if num_in_file not in {2 * number for number in known}:
        return ""
    return (
        "; twice as many is what it makes with scores of a knowledge graph embedding, which are not supported"
    )
