"""The least model by its definition: the oracle for :mod:`proofrank.core.provability.least_model`.

It tries every rule on every combination of atoms until nothing new follows. That is slow, and easy to read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from proofrank.core.graph import Dataset, Rule, Triple

Binding = dict[int, int]
"""A rule's variables, which are below 0, and the constants that they stand for."""


def naive_least_model(dataset: Dataset) -> frozenset[Triple]:
    """The facts of ``dataset``, and every ground atom that follows from them by its rules, in any number of rounds."""
    constants = range(1, dataset.vocabulary.num_constants + 1)
    atoms = set(dataset.fact_triples)
    while True:
        derived = {head for rule in dataset.rules for head in consequences(rule, atoms, constants)}
        if derived <= atoms:
            return frozenset(atoms)
        atoms |= derived


def consequences(rule: Rule, atoms: set[Triple], constants: range) -> Iterator[Triple]:
    """The heads of ``rule`` for every way to match its body to ``atoms``.

    A head's variable that is not in the body stands for each of ``constants``.
    """
    for binding in _matches(rule.body, atoms, {}):
        free = sorted({argument for argument in rule.head[1:] if argument < 0 and argument not in binding})
        for values in itertools.product(constants, repeat=len(free)):
            whole = binding | dict(zip(free, values, strict=True))
            head, tail = (whole.get(argument, argument) for argument in rule.head[1:])
            yield Triple(rule.head[0], head, tail)


def _matches(
    body: tuple[tuple[int, int, int], ...], atoms: set[Triple], binding: Binding
) -> Iterator[Binding]:
    """Every binding that extends ``binding`` and makes all atoms of ``body`` atoms of the model."""
    if not body:
        yield binding
        return
    for atom in atoms:
        extended = dict(binding)
        if atom.predicate == body[0][0] and all(
            extended.setdefault(argument, constant) == constant if argument < 0 else argument == constant
            for argument, constant in zip(body[0][1:], atom[1:], strict=True)
        ):
            yield from _matches(body[1:], atoms, extended)
